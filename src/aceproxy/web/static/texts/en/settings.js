/** English: the server says what its settings are, so there is nothing to translate. */

export default { settingWords: {}, settingUnits: {} };
