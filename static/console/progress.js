// A running import: the server draws its progress, the page asks for it each second.
const SECOND = 1000;

async function look() {
  const answer = await fetch(location.href);
  if (!answer.ok) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const fresh = page.getElementById("batch");
  if (fresh) document.getElementById("batch").replaceWith(fresh);
}

const timer = setInterval(async () => {
  try {
    await look();
  } catch {
    return; // the network is away; the next second is another try
  }
  if (document.getElementById("batch").dataset.state !== "running") clearInterval(timer);
}, SECOND);
