/** The languages there are: the folder of the catalogue, and the name the language has for itself. */
export const LANGUAGES = { en: "English", it: "Italiano" };

export const FALLBACK = "en";
