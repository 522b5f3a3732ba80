// Reminders by the browser, loaded by site.js only where the page has the switch for them
// and the browser can. It asks for permission after the click and never by itself.
const toBytes = (text) =>
  Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));

async function digest(text) {
  const bytes = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  return Array.from(new Uint8Array(bytes), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

async function send(form, fields) {
  const body = new URLSearchParams({ ...Object.fromEntries(new FormData(form)), ...fields });
  const answer = await fetch(form.action, { method: "POST", body });
  if (answer.status !== 204) throw new Error("refused");
}

async function subscription(worker, key) {
  await navigator.serviceWorker.register(worker);
  const { pushManager } = await navigator.serviceWorker.ready;
  const wish = { userVisibleOnly: true, applicationServerKey: toBytes(key) };
  try {
    return await pushManager.subscribe(wish);
  } catch (error) {
    // Subscribed with a key that the shop had before.
    if (error.name !== "InvalidStateError") throw error;
    await (await pushManager.getSubscription())?.unsubscribe();
    return pushManager.subscribe(wish);
  }
}

const held = async () =>
  (await navigator.serviceWorker.getRegistration("/"))?.pushManager.getSubscription();

// [data-push]: hidden until here. data-known holds the digests of her browsers.
export async function attach(section) {
  const { key, known, worker } = section.dataset;
  const show = (state) => {
    for (const part of section.querySelectorAll("[data-when]"))
      part.hidden = !part.dataset.when.split(" ").includes(state);
    section.hidden = false;
  };
  const resting = (otherwise) => (Notification.permission === "denied" ? "denied" : otherwise);

  const switched = (name, act) => {
    const form = section.querySelector(`form[name=${name}]`);
    const button = form.querySelector("button");
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      button.disabled = true;
      try {
        show(await act(form));
      } catch {
        show(`${name}-failed`);
      }
      button.disabled = false;
      section.querySelector("form:not([hidden]) button")?.focus();
    });
  };
  switched("on", async (form) => {
    if ((await Notification.requestPermission()) !== "granted") return resting("off");
    const { endpoint, keys } = (await subscription(worker, key)).toJSON();
    await send(form, { endpoint, ...keys });
    return "on";
  });
  switched("off", async (form) => {
    const mine = await held();
    if (mine) {
      await send(form, { endpoint: mine.endpoint });
      await mine.unsubscribe();
    }
    return "off";
  });

  const mine = await held();
  const isOn = mine && known.split(" ").includes(await digest(mine.endpoint));
  show(resting(isOn ? "on" : "off"));
}
