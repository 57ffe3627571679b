// Shows what was chosen, lets a file be dropped, and puts the answer into the page; without it the form works alone.
"use strict";

const form = document.getElementById("screen");
const input = document.getElementById("photo");
const drop = document.getElementById("drop");
const preview = document.getElementById("preview");
const result = document.getElementById("result");
const busy = document.getElementById("busy");
const access = document.getElementById("access");
const camera = document.getElementById("camera");
const asked = document.getElementById("asked");

function headers(more) {
  return access ? { ...more, Authorization: `Bearer ${access.value}` } : more;
}

function show() {
  if (preview.src) URL.revokeObjectURL(preview.src);
  preview.hidden = !input.files.length;
  if (input.files.length) preview.src = URL.createObjectURL(input.files[0]);
  result.replaceChildren();
}

// An error of the interface is JSON; one of the page is the result's own HTML.
async function failure(answer) {
  const type = answer.headers.get("content-type") || "";
  return type.includes("json") ? (await answer.json()).error : `The service answered ${answer.status}.`;
}

function say(text) {
  const card = document.createElement("div");
  card.className = "card problem";
  card.setAttribute("role", "alert");
  card.textContent = text;
  result.replaceChildren(card);
}

async function send(event) {
  event.preventDefault();
  const button = form.querySelector("button");
  button.disabled = true;
  busy.textContent = "Looking at it …";
  try {
    const answer = await fetch("/", { method: "POST", body: new FormData(form), headers: headers({ "X-Part": "result" }) });
    const type = answer.headers.get("content-type") || "";
    if (type.startsWith("text/html")) {
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      result.replaceChildren(...page.body.childNodes);
    } else {
      say(await failure(answer));
    }
  } catch {
    say("The service cannot be reached. Nothing was judged.");
  } finally {
    button.disabled = false;
    busy.textContent = "";
    result.focus();
  }
}

async function tell(event) {
  event.preventDefault();
  const form = event.target;
  const told = document.getElementById("told");
  const given = new FormData(form);
  const agreement = [];
  for (let number = 1; form.elements[`s${number}`]; number += 1) {
    if (given.get(`s${number}`)) agreement.push(Number(given.get(`s${number}`)));
  }
  const body = { consent: given.get("consent") === "on", role: given.get("role"), agreement, text: given.get("text") };
  try {
    const answer = await fetch("/api/v1/feedback", {
      method: "POST",
      headers: headers({ "Content-Type": "application/json" }),
      body: JSON.stringify(body),
    });
    if (!answer.ok) {
      told.textContent = await failure(answer);
      return;
    }
    told.textContent = `Thank you. Your receipt: ${(await answer.json()).receipt}`;
    form.querySelector("button").disabled = true;
  } catch {
    told.textContent = "The service cannot be reached. Nothing was sent.";
  }
}

// A telephone opens its camera for the one button, and offers its photographs, too, for the other.
camera.hidden = false;
camera.addEventListener("click", () => {
  input.setAttribute("capture", "environment");
  input.click();
});
input.addEventListener("click", (event) => {
  if (event.isTrusted) input.removeAttribute("capture");
});
input.addEventListener("change", show);
preview.addEventListener("error", () => { preview.hidden = true; });  // what no browser shows, such as TIFF, may still be judged
form.addEventListener("submit", send);
for (const name of ["dragover", "dragleave", "drop"]) {
  drop.addEventListener(name, (event) => {
    event.preventDefault();
    drop.classList.toggle("over", name === "dragover");
    if (name === "drop" && event.dataTransfer.files.length) {
      input.files = event.dataTransfer.files;
      show();
    }
  });
}
// Without this script the answers would be sent as part of an address, which others log: so nobody is asked then.
if (asked) {
  asked.hidden = false;
  document.getElementById("feedback").addEventListener("submit", tell);
}
