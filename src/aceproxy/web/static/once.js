/** Return a function that passes on the first call alone. */
export function once(call) {
  let called = false;
  return (value) => {
    if (!called) call(value);
    called = true;
  };
}
