// What the page costs while it is open: npm run bench. MINUTES (15) is the time at each place, PLACES the addresses.
import base from "../playwright.config";

export default { ...base, testDir: ".", timeout: 0, reporter: "line" };
