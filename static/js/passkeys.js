// Passkeys, loaded by site.js only where the page has a use for them and the browser can.
// Each ceremony fills the field "passkey" of a form and sends it; the server decides.
const toBytes = (text) =>
  Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
const toText = (bytes) =>
  btoa(String.fromCharCode(...new Uint8Array(bytes)))
    .replace(/\+/g, "-")
    .replace(/\//g, "_")
    .replace(/=+$/, "");

// A challenge is good for five minutes; what waits longer than this is asked anew.
const PATIENCE = 240_000;

function packed(credential) {
  const { response } = credential;
  const fields = ["clientDataJSON", "attestationObject", "authenticatorData", "signature", "userHandle"];
  const told = {};
  for (const field of fields) if (response[field]) told[field] = toText(response[field]);
  if (response.getTransports) told.transports = response.getTransports();
  return JSON.stringify({
    id: credential.id,
    rawId: toText(credential.rawId),
    type: credential.type,
    response: told,
    clientExtensionResults: credential.getClientExtensionResults(),
  });
}

function send(form, credential) {
  const { passkey, next, gift } = form.elements;
  passkey.value = packed(credential);
  // Back to this very page, with what she has picked meanwhile: a plan, or how many.
  const pick = document.querySelector("[name=plan]:checked, #id_quantity");
  if (next && pick) next.value = `${location.pathname}?${pick.name}=${encodeURIComponent(pick.value)}`;
  // Or with the gift code that she has typed, never in an address.
  const typed = document.getElementById("id_gift");
  if (gift && typed) gift.value = typed.value;
  form.submit();
}

async function ask(url, more) {
  const answer = await fetch(url, { headers: { Accept: "application/json" } });
  if (!answer.ok) throw new Error("no options");
  const publicKey = await answer.json();
  publicKey.challenge = toBytes(publicKey.challenge);
  return navigator.credentials.get({ publicKey, ...more });
}

// form[data-passkey=offer]: the phone field's suggestions hold her passkeys.
let waiting;
export async function offer(form) {
  if (!(await PublicKeyCredential.isConditionalMediationAvailable?.())) return;
  waiting?.abort();
  waiting = new AbortController();
  const { signal } = waiting;
  const timer = setTimeout(() => offer(form), PATIENCE);
  try {
    send(form, await ask(form.dataset.options, { mediation: "conditional", signal }));
  } catch (error) {
    // Aborted by a renewal, or she chose to type: nothing to say.
    if (error.name !== "AbortError") clearTimeout(timer);
  }
}

// form[data-passkey=get], form[data-passkey=make]: hidden until here; a button starts it.
function pressed(form, ceremony) {
  const button = form.querySelector("button");
  const words = form.querySelector("[data-passkey-words]");
  form.hidden = false;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    button.disabled = true;
    waiting?.abort();
    try {
      send(form, await ceremony());
    } catch (error) {
      words.hidden = false;
      words.textContent = error.name === "InvalidStateError" ? words.dataset.known : words.dataset.failed;
      button.disabled = false;
    }
  });
}

export function get(form) {
  pressed(form, () => ask(form.dataset.options));
}

export function make(form) {
  pressed(form, () => {
    const publicKey = JSON.parse(form.dataset.options);
    publicKey.challenge = toBytes(publicKey.challenge);
    publicKey.user.id = toBytes(publicKey.user.id);
    for (const known of publicKey.excludeCredentials ?? []) known.id = toBytes(known.id);
    return navigator.credentials.create({ publicKey });
  });
}

// [data-passkey=hint]: shown where the device itself can make a passkey.
export async function hint(section) {
  const able = PublicKeyCredential.isUserVerifyingPlatformAuthenticatorAvailable;
  section.hidden = !(await able.call(PublicKeyCredential));
}
