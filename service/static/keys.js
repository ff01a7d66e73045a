// Inbox by keyboard: j next, k previous, o open. Links work without it.
"use strict";
const rows = Array.from(document.querySelectorAll("[data-keys] a"));
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || rows.length === 0) return;
  if (/^(input|textarea|select)$/i.test(event.target.tagName)) return;
  const at = rows.indexOf(document.activeElement);
  if (event.key === "j") rows[Math.min(at + 1, rows.length - 1)].focus();
  else if (event.key === "k") rows[Math.max(at - 1, 0)].focus();
  else if (event.key === "o" && at >= 0) rows[at].click();
});
