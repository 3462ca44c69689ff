/** The word for a count as it is written: `one` for exactly one, else `many`. */
export const plural = (n, one, many) => (String(n) === "1" ? one : many);
