/** The Italian catalogue. A catalogue in any language has the same names, in the same files. */

import common from "./common.js";
import dashboard from "./dashboard.js";
import pages from "./pages.js";
import server from "./server.js";
import settings from "./settings.js";
import watch from "./watch.js";

export default { ...common, ...dashboard, ...pages, ...server, ...settings, ...watch };
