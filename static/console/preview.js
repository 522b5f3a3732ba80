// The live preview of a tier or a plan: what is typed goes to the server, which judges
// it as it would on saving and draws the stubs; nothing is computed here.
const box = document.querySelector("[data-preview]");
const form = box && document.getElementById(box.dataset.form);
const PAUSE = 250;
let timer;
let asked;

// The parser made the shadow tree where it can; older browsers left the template.
function shadowOf(host) {
  const template = host.querySelector("template");
  if (template) host.attachShadow({ mode: "open" }).append(template.content);
  template?.remove();
  return host.shadowRoot;
}

function show(html) {
  const fresh = new DOMParser().parseFromString(html, "text/html");
  const cards = fresh.querySelector("template").content.querySelector("[data-cards]");
  const shadow = shadowOf(box.querySelector(".preview__shop"));
  shadow.querySelector("[data-cards]").replaceWith(cards);
  const words = fresh.querySelector(".preview__words").innerHTML;
  const spoken = box.querySelector(".preview__words");
  if (spoken.innerHTML !== words) spoken.innerHTML = words;
}

async function refresh() {
  asked?.abort();
  asked = new AbortController();
  try {
    const answer = await fetch(box.dataset.preview, {
      method: "POST",
      body: new FormData(form),
      signal: asked.signal,
    });
    if (answer.ok && !answer.redirected) show(await answer.text());
  } catch (error) {
    if (error.name !== "AbortError") throw error;
  }
}

if (form) {
  shadowOf(box.querySelector(".preview__shop"));
  for (const event of ["input", "change"]) {
    form.addEventListener(event, () => {
      clearTimeout(timer);
      timer = setTimeout(refresh, PAUSE);
    });
  }
}
