// Progressive enhancement only: every page works without this file. Nothing is put into web storage.

const meta = (name) => document.querySelector(`meta[name="${name}"]`)?.content ?? "";
const later = (seconds, act) => setTimeout(act, Math.max(0, seconds) * 1000);

/** Start NHS.UK's own components (error summary, radios that reveal, double clicks, skip link). */
async function startComponents() {
  // The stylesheet reveals what belongs to a choice; the component would put aria-expanded on a radio, which has no such state.
  for (const input of document.querySelectorAll("[data-aria-controls]")) input.removeAttribute("data-aria-controls");
  document.body.classList.add("js-enabled");
  if (!("noModule" in HTMLScriptElement.prototype)) return;
  document.body.classList.add("nhsuk-frontend-supported");
  try {
    const nhsuk = await import(document.getElementById("portal-js").dataset.nhsuk);
    nhsuk.initAll();
    document.addEventListener("htmx:afterSettle", (event) => nhsuk.initAll({ scope: event.target }));
  } catch (error) {
    document.body.classList.remove("js-enabled", "nhsuk-frontend-supported");
    console.warn("NHS.UK frontend did not start", error.message);
  }
}

/** Chips below a field put a usual answer into it. Hidden where scripts do not run. */
function startChips(root) {
  for (const chips of root.querySelectorAll("[data-fills]")) {
    const field = document.getElementById(chips.dataset.fills);
    if (!field) continue;
    chips.hidden = false;
    const press = (chosen) => {
      for (const chip of chips.children) chip.setAttribute("aria-pressed", String(chip === chosen));
    };
    chips.addEventListener("click", (event) => {
      const chip = event.target.closest("button");
      if (!chip) return;
      field.value = chip.textContent.trim();
      press(chip);
      field.dispatchEvent(new Event("input", { bubbles: true }));
      field.dispatchEvent(new Event("change", { bubbles: true }));
      field.focus();
    });
    field.addEventListener("input", () => {
      if (!field.value) press(null);
    });
  }
}

/** In a work list, j and k move between the rows' first links, as the foot of the table says. */
function startKeys() {
  document.addEventListener("keydown", (event) => {
    if (!["j", "k"].includes(event.key) || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest("input, textarea, select, dialog")) return;
    const links = [...document.querySelectorAll("[data-keys] tbody tr")].map((row) => row.querySelector("a")).filter(Boolean);
    if (!links.length) return;
    const here = links.indexOf(document.activeElement?.closest?.("tr")?.querySelector("a"));
    links[Math.min(links.length - 1, Math.max(0, here + (event.key === "j" ? 1 : -1)))].focus();
    event.preventDefault();
  });
}

/** Say the stage of a request once when it changes: not at every poll. */
function startStages() {
  const announcer = document.querySelector("[data-stage-announcer]");
  if (!announcer) return;
  let known = document.querySelector("[data-stage]")?.dataset.stage;
  document.addEventListener("htmx:afterSettle", () => {
    const stage = document.querySelector("[data-stage]")?.dataset.stage;
    if (stage && stage !== known) announcer.textContent = known = stage;
  });
}

/** Count down beside "Undo". When the time is over the bar goes; whether it was in time, the server decides. */
function startUndo() {
  for (const bar of document.querySelectorAll("[data-undo]")) {
    const left = bar.querySelector("[data-undo-left]");
    const end = Date.now() + Number(bar.dataset.undo) * 1000;
    const timer = setInterval(() => {
      const seconds = Math.ceil((end - Date.now()) / 1000);
      if (left) left.textContent = seconds > 0 ? `${seconds} s` : "";
      if (seconds <= 0 && !bar.contains(document.activeElement)) {
        clearInterval(timer);
        bar.remove();
      }
    }, 250);
  }
}

/** Whether something was typed or chosen here that a reload would lose. */
function hasInput() {
  return [...document.querySelectorAll("main input, main textarea, main select")].some((field) => {
    if (field.type === "hidden" || field.type === "submit") return false;
    if (field.type === "checkbox" || field.type === "radio") return field.checked !== field.defaultChecked;
    if (field.options) return [...field.options].some((option) => option.selected !== option.defaultSelected && field.selectedIndex > 0);
    return field.value !== field.defaultValue;
  });
}

/**
 * Warn two minutes before the idle end, keep what was typed, and cover the page when the session is over.
 * Tabs tell each other: one that asks the server extends all, one that signs out empties all.
 */
function startSession() {
  const lasts = Number(meta("session-expires-in"));
  const person = meta("session-person");
  const channel = "BroadcastChannel" in window ? new BroadcastChannel("clinicportal") : null;
  if (!lasts) return;

  const dialog = document.getElementById("session-dialog");
  const [warning, ended] = ["warning", "ended"].map((state) => dialog.querySelector(`[data-state="${state}"]`));
  const countdown = dialog.querySelector("[data-countdown]");
  const spoken = dialog.querySelector("[data-spoken]");
  const WARN_BEFORE = 120;
  let end = 0;
  let over = false;
  let timers = [];

  const show = (state) => {
    warning.hidden = state !== "warning";
    ended.hidden = state !== "ended";
    dialog.setAttribute("aria-labelledby", state === "ended" ? "session-over" : "session-title");
    dialog.classList.toggle("cp-dialog--ended", state === "ended");
    if (!dialog.open) dialog.showModal();
  };
  const secondsLeft = () => Math.max(0, Math.round((end - Date.now()) / 1000));
  const words = (seconds) =>
    seconds > 60 ? `${Math.ceil(seconds / 60)} ${dialog.dataset.minutes}` : `${seconds} ${dialog.dataset.seconds}`;

  const tick = () => {
    const left = secondsLeft();
    if (left <= 0) return finish();
    if (left > WARN_BEFORE) return extend(left);
    if (!dialog.open) show("warning");
    countdown.textContent = words(left);
    // A screen reader hears it at the start and at one minute, not each second.
    if (!spoken.textContent || left === 60) spoken.textContent = words(left);
  };
  const extend = (seconds = lasts) => {
    timers.forEach((timer) => (clearTimeout(timer), clearInterval(timer)));
    over = false;
    end = Date.now() + seconds * 1000;
    spoken.textContent = "";
    if (dialog.open) dialog.close();
    timers = [later(seconds - WARN_BEFORE, () => (timers.push(setInterval(tick, 1000)), tick()))];
  };
  const finish = () => {
    timers.forEach((timer) => (clearTimeout(timer), clearInterval(timer)));
    over = true;
    ended.querySelector("[data-kept]").hidden = !hasInput();
    const again = ended.querySelector("[data-again]");
    again.target = hasInput() ? "_blank" : "";
    again.rel = "noopener";
    show("ended");
  };
  const stay = async () => {
    try {
      const answer = await fetch(meta("session-keep-alive"), {
        method: "POST",
        headers: { "X-CSRFToken": meta("csrf-token") },
        redirect: "manual",
      });
      if (!answer.ok) return false;
      extend();
      tell();
      return true;
    } catch {
      return true; // no network is no sign-out: the countdown goes on
    }
  };
  const tell = () => channel?.postMessage({ type: "alive", person, lasts, token: meta("csrf-token") });

  dialog.querySelector("[data-stay]").addEventListener("click", async () => {
    if (!(await stay())) finish();
  });
  dialog.addEventListener("cancel", (event) => {
    event.preventDefault();
    if (!over) dialog.querySelector("[data-stay]").click();
  });
  channel?.addEventListener("message", ({ data }) => {
    if (data.type === "leaving") {
      later(2, async () => {
        if (!(await stay())) hasInput() ? finish() : location.reload();
      });
      return;
    }
    if (data.type !== "alive") return;
    if (data.person !== person) return location.reload(); // somebody else works in this browser now
    document.querySelector('meta[name="csrf-token"]').content = data.token;
    for (const input of document.querySelectorAll('input[name="csrfmiddlewaretoken"]')) input.value = data.token;
    extend(data.lasts);
  });
  document.querySelector(".nhsuk-header__account-form")?.addEventListener("submit", () => {
    channel?.postMessage({ type: "leaving" });
  });
  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState === "visible" && !over && end - Date.now() < WARN_BEFORE * 1000) tick();
  });
  // A page that comes back from the back/forward cache may belong to a session that has ended.
  window.addEventListener("pageshow", async (event) => {
    if (!event.persisted) return;
    document.documentElement.hidden = true;
    if (!hasInput() || !(await stay())) return location.reload();
    document.documentElement.hidden = false;
  });
  document.addEventListener("htmx:configRequest", (event) => {
    event.detail.headers["X-CSRFToken"] = meta("csrf-token");
  });
  // A whole page in answer to a request for a fragment is the sign-in page or a refusal: show it as a page.
  document.addEventListener("htmx:beforeSwap", (event) => {
    if (!/^\s*<!doctype/i.test(event.detail.xhr.responseText)) return;
    event.detail.shouldSwap = false;
    if (!hasInput()) location.reload();
  });
  extend();
  tell();
}

/**
 * A record names its patient on the page, in every request that the page makes and in every answer. What belongs to another
 * patient is not put into the page. Two records open in one browser are pointed out on both.
 */
function startRecord() {
  const mark = document.querySelector("[data-patient]");
  if (!mark) return;
  const { patient } = mark.dataset;
  document.addEventListener("htmx:configRequest", (event) => {
    event.detail.headers["X-Patient"] = patient;
  });
  document.addEventListener("htmx:beforeSwap", (event) => {
    if (event.detail.xhr.getResponseHeader("X-Patient") === patient) return;
    event.detail.shouldSwap = false;
    location.reload();
  });
  if (!("BroadcastChannel" in window)) return;
  const channel = new BroadcastChannel("clinicportal-records");
  const others = new Map();
  // Six patterns: of two records that would have the same one, the tabs agree by their ids who takes the next.
  const patterns = 6;
  const dress = (open) => {
    const taken = new Map();
    for (const id of [...open].sort()) {
      let pattern = parseInt(id.slice(0, 4), 16) % patterns;
      while (taken.size < patterns && [...taken.values()].includes(pattern)) pattern = (pattern + 1) % patterns;
      taken.set(id, pattern);
    }
    mark.className = mark.className.replace(/cp-seed-\d/, `cp-seed-${taken.get(patient)}`);
  };
  const show = () => {
    const now = Date.now();
    const open = [...others].filter(([, seen]) => now - seen < 15000).map(([id]) => id);
    mark.hidden = !open.length;
    dress([patient, ...open]);
    document.querySelector(".cp-banner")?.classList.toggle("cp-banner--two", !mark.hidden);
  };
  const say = () => channel.postMessage({ patient });
  channel.addEventListener("message", ({ data }) => {
    if (data.patient === patient) return;
    if (data.gone) others.delete(data.patient);
    else {
      if (!others.has(data.patient)) say();
      others.set(data.patient, Date.now());
    }
    show();
  });
  window.addEventListener("pagehide", () => channel.postMessage({ patient, gone: true }));
  setInterval(() => (say(), show()), 5000);
  say();
}

/** Who comes back to a record after minutes in other windows says first that it is the patient they mean. */
function startReturn() {
  const dialog = document.getElementById("record-dialog");
  if (!dialog) return;
  let left = Infinity;
  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState === "hidden") left = Date.now();
    else if (Date.now() - left >= dialog.dataset.away * 1000 && !dialog.open) dialog.showModal();
  });
  dialog.addEventListener("cancel", (event) => event.preventDefault());
  dialog.querySelector("[data-go-on]").addEventListener("click", () => dialog.close());
}

/** A framed document is as high as what it holds, so that nothing scrolls inside the page and print has all of it. */
function startFrames() {
  for (const frame of document.querySelectorAll("iframe[data-grows]")) {
    const fit = () => {
      const held = frame.contentDocument?.body;
      if (held) frame.style.height = `${held.offsetHeight + 16}px`; // room for a scroll bar below a wide table
    };
    frame.addEventListener("load", fit);
    window.addEventListener("resize", fit);
    fit();
  }
}

/** htmx notes the path of each page in session storage, whatever its history settings say: take it out again. */
function forgetPath() {
  try {
    sessionStorage.removeItem("htmx-current-path-for-history");
  } catch {
    // Storage is switched off: there is nothing to forget.
  }
}

forgetPath();
startComponents();
startChips(document);
document.addEventListener("htmx:afterSettle", (event) => startChips(event.target));
startKeys();
startStages();
startUndo();
startSession();
startRecord();
startReturn();
startFrames();
