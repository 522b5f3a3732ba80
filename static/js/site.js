// What script adds to pages that already work without it. Each section attaches itself
// by a data attribute and keeps no state that the server also keeps.
(() => {
  "use strict";

  const SECOND = 1000;
  const each = (root, selector, attach) => {
    if (root.matches?.(selector)) attach(root);
    root.querySelectorAll(selector).forEach(attach);
  };
  const wake = () => {
    const status = document.getElementById("pay-status");
    if (status?.dataset.hxGet && window.htmx) window.htmx.trigger(status, "wake");
  };

  // [data-countdown=seconds]: ticks beside the clock time; at zero the server is asked,
  // not us. Seconds and not a moment, because the device's clock may be wrong.
  const minutesToSpeak = [10, 5, 1];
  function countdown(clock) {
    const end = Date.now() + clock.dataset.countdown * SECOND;
    const voice = document.querySelector("[data-countdown-voice]");
    const bar = document.querySelector("[data-countdown-bar]");
    let spoken = Infinity;
    const tick = () => {
      if (!clock.isConnected) return clearInterval(timer);
      const left = Math.max(0, Math.ceil((end - Date.now()) / SECOND));
      const minutes = Math.floor(left / 60);
      clock.textContent = `${minutes}:${String(left % 60).padStart(2, "0")}`;
      clock.toggleAttribute("data-late", left < 300);
      if (bar) bar.value = left;
      const next = minutesToSpeak.find((minute) => Math.ceil(left / 60) === minute);
      if (next && next < spoken && voice) {
        spoken = next;
        voice.textContent = clock.dataset.speak.replace("{n}", next);
      }
      if (left === 0) {
        clearInterval(timer);
        wake();
      }
    };
    const timer = setInterval(tick, SECOND);
    tick();
  }

  // form[data-again=attempt]: paying again may open the wallet again.
  function payAgain(form) {
    form.addEventListener("submit", () => {
      try {
        each(document, "[data-again]", (other) => {
          sessionStorage.removeItem(`handover:${other.dataset.again}`);
          sessionStorage.removeItem(`bridge:${other.dataset.again}`);
        });
      } catch {
        // no storage, nothing to forget
      }
    });
  }

  // [data-handover=attempt]: a link or a form that opens the wallet once for each attempt,
  // never again on Back.
  function handOver(way) {
    const key = `handover:${way.dataset.handover}`;
    try {
      if (sessionStorage.getItem(key)) return;
      sessionStorage.setItem(key, "1");
    } catch {
      return; // no storage: the button is there
    }
    // Not before the page has loaded: until then the wallet would replace it in the
    // history, and Back would miss the pay page.
    const open = () => (way.href ? location.assign(way.href) : way.requestSubmit());
    const go = () => setTimeout(open);
    if (document.readyState === "complete") go();
    else window.addEventListener("load", go, { once: true });
  }

  // button[data-bridge=JSON]: WeChat's own call for its wallet, which only exists in script
  // and inside WeChat. By itself once for each attempt; the server is asked what came of it.
  function bridge(button) {
    const call = () => {
      const asked = JSON.parse(button.dataset.bridge);
      window.WeixinJSBridge.invoke("getBrandWCPayRequest", asked, wake);
    };
    const pay = () => {
      if (window.WeixinJSBridge) call();
      else document.addEventListener("WeixinJSBridgeReady", call, { once: true });
    };
    button.hidden = false;
    button.addEventListener("click", pay);
    const key = `bridge:${button.dataset.attempt}`;
    try {
      if (sessionStorage.getItem(key)) return;
      sessionStorage.setItem(key, "1");
    } catch {
      return; // no storage: the button is there
    }
    pay();
  }

  // [data-copy=text | page]: a copy button, shown only where copying works.
  function copyButton(button) {
    if (!navigator.clipboard) return;
    button.hidden = false;
    const label = button.textContent;
    button.addEventListener("click", async () => {
      const text = button.dataset.copy === "page" ? location.href : button.dataset.copy;
      await navigator.clipboard.writeText(text);
      button.textContent = button.dataset.copied;
      setTimeout(() => (button.textContent = label), 2 * SECOND);
    });
  }

  // button[data-busy=words]: says so when the answer takes longer than 300 ms.
  const labels = new Map();
  function busy(button) {
    if (!button?.dataset.busy || labels.has(button)) return;
    const timer = setTimeout(() => {
      button.textContent = button.dataset.busy;
      button.setAttribute("aria-busy", "true");
    }, 300);
    labels.set(button, { timer, words: button.textContent });
  }
  function idle(button) {
    const held = labels.get(button);
    if (!held) return;
    clearTimeout(held.timer);
    button.textContent = held.words;
    button.removeAttribute("aria-busy");
    labels.delete(button);
  }

  // form[data-once]: a second submit is ignored until the page is shown again.
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (!form.hasAttribute("data-once")) return;
    if (form.dataset.sent) return event.preventDefault();
    form.dataset.sent = "1";
    otp?.abort();
    const pressed = event.submitter;
    busy(pressed?.dataset.busy ? pressed : form.querySelector(".button--primary[data-busy]"));
  });

  // [data-resend-in=seconds]: counts down on the button until the server would accept it.
  function resendClock(button) {
    const at = Date.now() + button.dataset.resendIn * SECOND;
    const label = button.textContent;
    const tick = () => {
      const left = Math.ceil((at - Date.now()) / SECOND);
      if (left <= 0 || !button.isConnected) {
        clearInterval(timer);
        button.disabled = false;
        button.textContent = label;
        return;
      }
      button.disabled = true;
      button.textContent = button.dataset.wait.replace("{s}", left);
    };
    const timer = setInterval(tick, SECOND);
    tick();
  }

  // One-time code: read from the SMS where the browser can; sent on the sixth digit only
  // where the form says so (the checkout's pay button is the consent).
  let otp = null;
  function codeField(field) {
    const form = field.form;
    if ("autosubmit" in field.dataset) {
      field.addEventListener("input", () => {
        if (field.value.replace(/\s/g, "").length === 6) form.requestSubmit();
      });
    }
    if (!("OTPCredential" in window)) return;
    otp?.abort();
    otp = new AbortController();
    navigator.credentials
      .get({ otp: { transport: ["sms"] }, signal: otp.signal })
      .then((credential) => {
        field.value = credential.code;
        field.dispatchEvent(new Event("input", { bubbles: true }));
      })
      .catch(() => {}); // aborted, refused or no SMS: she types
  }

  // input[data-phone]: shows 138 0013 8000 when she leaves the field.
  function phoneField(field) {
    field.addEventListener("blur", () => {
      const digits = field.value.replace(/\D/g, "").replace(/^86(?=1\d{10}$)/, "");
      if (/^1\d{10}$/.test(digits)) {
        field.value = digits.replace(/(\d{3})(\d{4})(\d{4})/, "$1 $2 $3");
      }
    });
  }

  // dialog[data-modal=once]: an open section until here, now a modal dialog, once. Over a
  // page that has been drawn, because it styles the whole page anew.
  function modal(dialog) {
    const key = `seen:${dialog.dataset.modal}`;
    if (!dialog.open) return; // put away while it was a section
    dialog.close();
    try {
      if (localStorage.getItem(key)) return;
    } catch {
      // no storage: it may come twice
    }
    const show = () => {
      if (!dialog.isConnected) return;
      dialog.showModal?.();
      try {
        localStorage.setItem(key, "1");
      } catch {
        // as above
      }
    };
    requestAnimationFrame(() => setTimeout(show));
  }

  // [data-passkey=what]: a file of its own does it, fetched where the browser knows
  // passkeys; an address of numbers can have none. Nothing is shown elsewhere, and no
  // link leads there: [data-instead] before it keeps its place.
  async function passkey(element) {
    if (!window.PublicKeyCredential || /^[\d.]+$/.test(location.hostname)) return;
    if (element.dataset.passkey === "link") {
      element.hidden = false;
      const instead = element.previousElementSibling;
      if (instead?.hasAttribute("data-instead")) instead.hidden = true;
      return;
    }
    const ceremonies = await import(document.body.dataset.passkeys);
    ceremonies[element.dataset.passkey](element);
  }

  // [data-push=file]: reminders by this browser, likewise.
  async function push(section) {
    if (!window.PushManager || !window.Notification || !navigator.serviceWorker) return;
    (await import(section.dataset.push)).attach(section);
  }

  function attach(root) {
    each(root, "[data-countdown]", countdown);
    each(root, "[data-handover]", handOver);
    each(root, "[data-bridge]", bridge);
    each(root, "[data-again]", payAgain);
    each(root, "[data-copy]", copyButton);
    each(root, "[data-resend-in]", resendClock);
    each(root, "[autocomplete='one-time-code']", codeField);
    each(root, "[data-phone]", phoneField);
    each(root, "dialog[data-modal]", modal);
    each(root, "[data-passkey]", passkey);
    each(root, "[data-push]", push);
    each(root, "[data-print]", (button) => {
      button.hidden = false;
      button.addEventListener("click", () => print());
    });
  }

  // Polling: only while somebody looks, at once when she comes back.
  document.addEventListener("htmx:beforeRequest", (event) => {
    const source = event.detail.elt;
    if (source.hasAttribute("data-poll") && document.hidden) return event.preventDefault();
    busy(source);
  });
  document.addEventListener("visibilitychange", () => document.hidden || wake());
  window.addEventListener("pageshow", (event) => {
    document.querySelectorAll("form[data-sent]").forEach((form) => delete form.dataset.sent);
    labels.forEach((_, button) => idle(button));
    if (event.persisted && document.querySelector("main[data-state]")) location.reload();
  });

  // Offline: say so, and repeat what was lost once the network is back.
  let lost = null;
  const offlineBar = document.querySelector("[data-offline]");
  const showOffline = () => offlineBar && (offlineBar.hidden = navigator.onLine);
  window.addEventListener("offline", showOffline);
  window.addEventListener("online", () => {
    showOffline();
    wake();
    if (lost?.isConnected) lost.click();
    lost = null;
  });
  document.addEventListener("htmx:afterRequest", (event) => idle(event.detail.elt));
  document.addEventListener("htmx:sendError", (event) => {
    const source = event.detail.elt;
    if (!source.hasAttribute("data-poll") && !navigator.onLine && source.click) lost = source;
    else if (!source.hasAttribute("data-poll")) say(document.body.dataset.failed);
  });
  document.addEventListener("htmx:responseError", (event) => {
    if (!event.detail.elt.hasAttribute("data-poll")) say(document.body.dataset.failed);
  });
  function say(words) {
    const toast = document.createElement("p");
    toast.className = "toast toast--error";
    toast.setAttribute("role", "alert");
    toast.textContent = words;
    document.querySelector(".top").append(toast);
    setTimeout(() => toast.remove(), 8 * SECOND);
  }

  document.addEventListener("htmx:load", (event) => {
    if (event.detail.elt === document.body) return;
    attach(event.detail.elt);
    if (event.detail.elt.id === "main") event.detail.elt.focus();
  });
  attach(document);
  showOffline();
})();
