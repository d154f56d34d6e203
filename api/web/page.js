// Our own pages: the token that this tab keeps, and whose it is.

import { useToken } from "./api.js";

const kept = (name) => sessionStorage.getItem(`session-approval-${name}`);

useToken(() => kept("token"));
document.querySelector("#person").textContent = kept("person");
document.querySelector("#home")?.setAttribute("href", kept("home") ?? "/dashboard/therapy");
