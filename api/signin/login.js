// A token in the fragment of the address, as "finobs open" prints it, goes into the
// form and out of the address. Fragments are never sent to a server; nothing is sent
// before the person presses the button.
"use strict";
const found = /^#token=([A-Za-z0-9._-]+)$/.exec(location.hash);
const field = document.getElementById("token");
if (found && field) {
  field.value = found[1];
  document.getElementById("with-token").focus();
}
if (location.hash) {
  history.replaceState(null, "", location.pathname + location.search);
}
