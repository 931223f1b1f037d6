// What every page has: menus that close, two keys, copying, forms that keep the sound playing.
import { csrf, drawer, inField, keysOn, page, reason, swap, tell } from './ask.js';

function closeMenus(except) {
  for (const menu of document.querySelectorAll('details[data-menu][open]')) {
    if (menu !== except) menu.open = false;
  }
}
document.addEventListener('click', (event) => closeMenus(event.target.closest('details[data-menu]')));
document.addEventListener('keydown', (event) => {
  if (event.key === 'Escape') {
    const menu = event.target.closest?.('details[data-menu][open]');
    closeMenus();
    menu?.querySelector('summary').focus();
  }
  if (event.ctrlKey || event.metaKey || event.altKey || inField(event.target) || !keysOn()) return;
  if (event.key === '/') {
    const field = document.querySelector('[data-key-search]');
    if (field) { event.preventDefault(); field.focus(); field.select(); }
  } else if (event.key === '?') {
    const keys = document.querySelector('.foot a[href*="keys"]');
    if (keys) window.open(keys.href, document.querySelector('dare-player') ? '_blank' : '_self');
  }
});

// Copying: the field is selected, so that it can be copied by hand where the clipboard is shut.
document.addEventListener('click', async (event) => {
  const button = event.target.closest('[data-copy]');
  if (!button) return;
  const field = document.getElementById(button.dataset.copy);
  if (field.select) field.select();
  else getSelection().selectAllChildren(field);
  try {
    await navigator.clipboard.writeText(field.value ?? field.innerText);
    tell('Copied.', 'good');
  } catch { tell('Selected. Copy it with Ctrl+C.'); }
});
for (const button of document.querySelectorAll('[data-copy]')) button.hidden = false;

// Half-written words survive a reload and a lost session, in this browser only.
function restoreTexts() {
  for (const text of document.querySelectorAll('textarea[data-keep-text]')) {
    const kept = drawer.get(`text.${text.dataset.keepText}`);
    if (!kept || text.value) continue;
    text.value = kept;
    const fold = text.closest('details');
    if (fold) fold.open = true;
  }
}
document.addEventListener('input', (event) => {
  const name = event.target.dataset?.keepText;
  if (name) drawer.set(`text.${name}`, event.target.value);
});
document.addEventListener('dare:parts', restoreTexts);
document.querySelector('[data-leaving]')?.addEventListener('submit', () => drawer.empty());
restoreTexts();

// A form with data-part changes one part of the page, and what is playing plays on.
async function sendPart(form, submitter) {
  if (form.dataset.busy) return;
  const body = new URLSearchParams(new FormData(form, submitter));
  const kept = form.querySelector('[data-keep-text]')?.dataset.keepText;
  // Not by disabling the button: the focus would be lost.
  form.dataset.busy = 'yes';
  try {
    const response = await fetch(form.getAttribute('action'), {
      method: 'POST', body, headers: { Accept: 'text/html', 'X-CSRF-Token': csrf() },
    });
    const answer = await page(response.clone());
    if (response.ok && kept) drawer.remove(`text.${kept}`);
    const [name, ...others] = form.dataset.part.split(' ');
    if (answer.getElementById(name) && swap(answer, [name, ...others])) {
      tell(response.ok ? answer.querySelector('#told .note')?.textContent.trim() || said(name, body) : answer.querySelector('.field-error')?.textContent.trim() ?? 'Not saved.', response.ok ? 'good' : 'bad');
    } else {
      tell(response.redirected ? 'You are signed out. Sign in again; your words are kept.' : await reason(response), 'bad');
    }
  } catch { tell('No connection. Nothing was sent; please try again.', 'bad'); }
  delete form.dataset.busy;
}
function said(name, body) {
  if (name === 'comments') return 'Your comment is posted.';
  if (name !== 'rating') return 'Done.';
  return body.has('stars') ? `Your ${body.get('stars')} of 5 stars are kept.` : 'Your stars are taken back.';
}
document.addEventListener('submit', (event) => {
  const form = event.target.closest('form[data-part]');
  if (!form || event.defaultPrevented) return;
  event.preventDefault();
  sendPart(form, event.submitter);
});

// A star pressed with a finger or mouse is sent at once; by keyboard one goes through the others,
// so there the button sends.
let byPointer = false;
document.addEventListener('pointerdown', () => { byPointer = true; }, true);
document.addEventListener('keydown', () => { byPointer = false; }, true);
document.addEventListener('change', (event) => {
  const form = event.target.closest('form[data-send-on-choice]');
  if (form && byPointer) form.requestSubmit();
});

const keySwitch = document.querySelector('[data-keys-switch]');
if (keySwitch) {
  keySwitch.checked = keysOn();
  keySwitch.addEventListener('change', () => drawer.set('keys', keySwitch.checked ? 'on' : 'off'));
}

// Browsers keep a page whole for "back", past signing out too: it is hidden on leaving, and shown
// again only while the session is still the one that it was made for.
if (document.querySelector('form[action="/sign-out"]')) {
  addEventListener('pagehide', (event) => { if (event.persisted) document.body.hidden = true; });
  addEventListener('pageshow', async (event) => {
    if (!event.persisted) return;
    try {
      const answer = await fetch('/help/keys', { headers: { Accept: 'text/html' }, cache: 'no-store' });
      if ((await answer.text()).includes(csrf())) { document.body.hidden = false; return; }
    } catch { /* Nobody can be asked, so it stays hidden; the reload says why. */ }
    location.reload();
  });
}
