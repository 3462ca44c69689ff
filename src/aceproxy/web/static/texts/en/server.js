/** English: the server speaks it, so there is nothing to translate. */

export default { serverMessages: {}, serverDetails: {} };
