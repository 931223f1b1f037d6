// Talking to our own server, and putting parts of its pages in place of ours.

export const csrf = () => document.querySelector('meta[name="csrf-token"]')?.content ?? '';

// A polite sentence for everybody: seen at the top, read aloud by screen readers.
export function tell(text, kind = 'plain') {
  const notes = document.getElementById('told');
  if (!notes) return;
  const line = document.createElement('p');
  line.className = `note ${kind}`;
  line.append(text);
  notes.replaceChildren(line);
  if (kind === 'bad') notes.scrollIntoView({ block: 'nearest' });
}

export async function page(response) {
  return new DOMParser().parseFromString(await response.text(), 'text/html');
}

// What an error page or a problem document says, in one sentence.
export async function reason(response) {
  const kind = response.headers.get('Content-Type') ?? '';
  if (kind.includes('json')) {
    const told = await response.json().catch(() => ({}));
    return Object.values(told.errors ?? {})[0] ?? told.detail ?? told.title ?? `Status ${response.status}.`;
  }
  const told = await page(response);
  // The sentence before the heading, which says less, wherever the two stand.
  const found = ['.field-error', '.lead', 'h1'].map((part) => told.querySelector(`main ${part}`)).find(Boolean);
  return found?.textContent.trim() ?? `Status ${response.status}.`;
}

// Replace the named parts by those of another page; returns how many there were.
export function swap(other, names) {
  let count = 0;
  for (const name of names) {
    const fresh = other.getElementById(name);
    const old = document.getElementById(name);
    if (!fresh || !old) continue;
    const held = old.contains(document.activeElement) && document.activeElement;
    old.replaceWith(fresh);
    if (held) focusLike(held, fresh);
    count += 1;
  }
  if (count) document.dispatchEvent(new CustomEvent('dare:parts'));
  return count;
}

// Focus what stands where the focus was, so that keyboard and screen reader stay there.
function focusLike(held, fresh) {
  const same = held.id && fresh.querySelector(`#${CSS.escape(held.id)}`);
  const chosen = held.name && fresh.querySelector(`[name="${CSS.escape(held.name)}"]:checked`);
  const target = same || chosen || fresh.querySelector('h2, legend') || fresh;
  if (!target.matches('input, button, textarea, select, a')) target.tabIndex = -1;
  target.focus({ preventScroll: true });
}

export function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds || 0));
  const rest = String(whole % 60).padStart(2, '0');
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes}:${rest}`;
  return `${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, '0')}:${rest}`;
}

// The browser's drawer; it may be shut (private windows), and nothing depends on it.
// What is somebody's own lies under their id, so that whoever comes next does not find it.
const asker = document.querySelector('meta[name=asker]')?.content ?? '';
const OWN = /^dare\.(text|at)\./;
const place = (name) => (OWN.test(`dare.${name}`) ? `dare.${name}@${asker}` : `dare.${name}`);
export const drawer = {
  get(name) { try { return localStorage.getItem(place(name)); } catch { return null; } },
  set(name, value) { try { localStorage.setItem(place(name), value); } catch { /* full or shut */ } },
  remove(name) { try { localStorage.removeItem(place(name)); } catch { /* shut */ } },
  empty() {
    try {
      Object.keys(localStorage).filter((key) => OWN.test(key)).forEach((key) => localStorage.removeItem(key));
    } catch { /* shut */ }
  },
};

export const keysOn = () => drawer.get('keys') !== 'off';

export function inField(target) {
  return Boolean(target.closest?.('textarea, select, [contenteditable], input:not([type=range], [type=radio], [type=checkbox])'));
}
