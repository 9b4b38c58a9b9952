// What the page costs while it is open: scripts/page-cost.
import base from "../playwright.config";

export default { ...base, testDir: ".", timeout: 0, reporter: "line" };
