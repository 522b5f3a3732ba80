{% load static %}// The service worker: shows reminders, and a page of its own where there is no network.
// It keeps the files named here and nothing else: a page of a person is never kept.
"use strict";

const OFFLINE = "{% static "errors/offline.html" %}";
const ICON = "{% static "img/icon-192.png" %}";
const KEPT = [OFFLINE, "/static/errors/error.css", "{% static "img/favicon.svg" %}", ICON];
const CACHE = `kept:${KEPT.join(" ")}`;
const NAME = "{{ name|escapejs }}";

self.addEventListener("install", (event) => {
  self.skipWaiting();
  event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll(KEPT)));
});

self.addEventListener("activate", (event) => {
  const old = (names) => names.filter((name) => name !== CACHE);
  event.waitUntil(
    caches.keys().then((names) => Promise.all(old(names).map((name) => caches.delete(name)))),
  );
});

self.addEventListener("fetch", (event) => {
  const { request } = event;
  const { origin, pathname } = new URL(request.url);
  if (request.method !== "GET" || origin !== location.origin) return;
  const instead = request.mode === "navigate" ? OFFLINE : KEPT.find((path) => path === pathname);
  if (!instead) return;
  const kept = async () => (await caches.match(instead)) ?? Response.error();
  event.respondWith(fetch(request).catch(kept));
});

self.addEventListener("push", (event) => {
  let told = {};
  try {
    told = event.data.json();
  } catch {
    // A browser wants to see something for each message.
  }
  const { title = NAME, body = "", path = "/account/", tag = "" } = told;
  const shown = { body, tag, icon: ICON, lang: "zh-CN", data: { path } };
  event.waitUntil(self.registration.showNotification(title, shown));
});

self.addEventListener("notificationclick", (event) => {
  event.notification.close();
  // Ours only, whatever the message says.
  const url = new URL(event.notification.data?.path ?? "/", location.origin);
  const target = url.origin === location.origin ? url.href : `${location.origin}/`;
  event.waitUntil(self.clients.openWindow(target));
});
