// Copy buttons, lists that refresh themselves, the way back by form. Every page works without this file.

const seen = new WeakMap();

function showCopyButtons(root) {
  if (!navigator.clipboard) return;
  for (const button of root.querySelectorAll("[data-copy]")) button.hidden = false;
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  await navigator.clipboard.writeText(button.dataset.copy);
  button.textContent = "已复制 ✓";
});

async function refresh(list) {
  if (document.hidden) return;
  const response = await fetch(location.href).catch(() => null);
  if (!response?.ok) return;
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  const fresh = page.querySelector("[data-refresh]");
  if (!fresh || fresh.innerHTML === seen.get(list)) return;
  seen.set(list, fresh.innerHTML);
  const focused = list.contains(document.activeElement) ? document.activeElement : null;
  list.replaceChildren(...fresh.childNodes);
  showCopyButtons(list);
  if (focused) refocus(list, focused);
}

// Put the keyboard back where it was, on the link or button of the same meaning.
function refocus(list, focused) {
  const name = focused.matches("a") ? "href" : "data-copy";
  const value = CSS.escape(focused.getAttribute(name) ?? "");
  list.querySelector(`[${name}="${value}"]`)?.focus({ preventScroll: true });
}

// A form that a gateway lets the browser post on its way back.
document.querySelector("form[data-post]")?.requestSubmit();

showCopyButtons(document);
for (const list of document.querySelectorAll("[data-refresh]")) {
  seen.set(list, list.innerHTML);
  setInterval(refresh, list.dataset.refresh * 1000, list);
}
