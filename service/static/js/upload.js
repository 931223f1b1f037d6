// Sends a recording in parts of 8 MiB (tus 1.0.0), so that a cut line costs one part at most.
// The same file picked again goes on where the server says.
import { csrf, page, reason, tell } from './ask.js';

const GIVE_UP_AFTER = 15 * 60_000;
const LONGEST_WAIT = 60_000;
const KINDS = /\.(mp3|m4a|m4b|aac|wav|flac|ogg|oga|opus|webm|mp4|m4v|mov|mkv|ts|m2ts|avi)$/i;
const LISTS = /\.(m3u8?|pls|xspf|asx|wpl|sdp|smil)$/i;
const ACCEPTED = 'MP3, M4A, WAV, FLAC, Ogg, Opus, WebM, MP4, MOV, MKV, TS and AVI';

class Refused extends Error {}
class Away extends Error {}

function size(count) {
  const units = ['bytes', 'KB', 'MB', 'GB'];
  let unit = 0;
  let left = count;
  while (left >= 1024 && unit < 3) { left /= 1024; unit += 1; }
  return `${left >= 10 || unit === 0 ? Math.round(left) : left.toFixed(1)} ${units[unit]}`;
}

function span(seconds) {
  if (!Number.isFinite(seconds)) return '';
  if (seconds < 60) return `${Math.max(1, Math.round(seconds))} s left`;
  return seconds < 3600 ? `${Math.round(seconds / 60)} min left` : `${(seconds / 3600).toFixed(1)} h left`;
}

class Sending {
  constructor(form) {
    this.form = form;
    form.dataset.bound = '';
    this.limit = Number(form.dataset.limit);
    const limitWords = form.querySelector('[data-limit-words]');
    limitWords.textContent = limitWords.dataset.scripted;
    form.querySelector('[data-drop-words]').hidden = false;
    form.querySelector('[data-plain]').hidden = true;
    form.addEventListener('submit', (event) => { event.preventDefault(); this.choose(this.picker.files[0]); });
    this.picker.addEventListener('change', () => this.choose(this.picker.files[0]));
    this.find('pause').addEventListener('click', () => (this.paused ? this.goOn() : this.pause()));
    this.find('cancel').addEventListener('click', () => this.cancel());
    this.takeDrops();
    addEventListener('online', () => this.wake?.());
    addEventListener('beforeunload', (event) => { if (this.file) event.preventDefault(); });
  }

  find(name) { return this.form.querySelector(`[data-${name}]`); }
  get picker() { return this.form.querySelector('input[type=file]'); }

  takeDrops() {
    const drop = this.find('drop');
    const over = (event) => {
      if (![...event.dataTransfer.types].includes('Files')) return;
      event.preventDefault();
      drop.classList.toggle('over', event.type === 'dragover');
    };
    for (const type of ['dragover', 'dragleave']) document.addEventListener(type, over);
    document.addEventListener('drop', (event) => { over(event); this.choose(event.dataTransfer.files[0]); });
    document.addEventListener('paste', (event) => { if (event.clipboardData.files[0]) this.choose(event.clipboardData.files[0]); });
  }

  choose(file) {
    // A form that has been renewed since is no longer ours to fill.
    if (!file || this.file || !this.form.isConnected) return;
    const wrong = this.wrong(file);
    this.fail(wrong);
    if (wrong) { this.picker.value = ''; return; }
    this.file = file;
    this.paused = false;
    this.send();
  }

  wrong(file) {
    if (LISTS.test(file.name)) return 'This file points to other files instead of holding sound or video. Please choose the recording itself.';
    if (!/^(audio|video)\//.test(file.type) && !KINDS.test(file.name)) return `“${file.name}” is neither sound nor video. Accepted are ${ACCEPTED}.`;
    if (!file.size) return `“${file.name}” is empty.`;
    if (file.size > this.limit) return `“${file.name}” has ${size(file.size)}; at most ${size(this.limit)} can be sent. Export it with a smaller picture, or as sound only.`;
    return '';
  }

  async send() {
    this.find('drop').hidden = true;
    this.find('going').hidden = false;
    this.find('name').textContent = this.file.name;
    this.draw(0);
    try {
      if (!this.url) await this.begin();
      while (this.offset < this.file.size && this.file && !this.paused) await this.part();
      if (this.file && !this.paused) await this.finish();
    } catch (error) {
      if (error.name === 'AbortError') return;
      if (!(error instanceof Refused || error instanceof Away)) throw error;
      this.stop(error);
    }
  }

  stop(error) {
    this.fail(error.message);
    if (error instanceof Away) { this.pause(); this.status('Waiting for you'); return; }
    this.reset();
  }

  async begin() {
    const told = await this.ask(this.form.dataset.begin, { name: this.file.name, size: this.file.size, type: this.file.type });
    this.url = told.url;
    this.offset = told.offset;
    this.step = told.chunk;
    this.status(told.offset ? `Going on from ${size(told.offset)}` : 'Sending');
  }

  async finish() {
    this.draw(0);
    this.status('All sent. Handing it over');
    const told = await this.ask(this.form.dataset.finish, {});
    await saveNow();
    this.file = null;
    location.assign(told.next);
  }

  // A question in JSON, asked again while the line is down.
  ask(address, body) {
    return this.tryOn(async () => {
      const response = await fetch(address, {
        method: 'POST', body: JSON.stringify(body),
        headers: { 'Content-Type': 'application/json', Accept: 'application/json', 'X-CSRF-Token': csrf() },
      });
      if (response.ok && !response.redirected) return response.json();
      throw await this.problem(response);
    });
  }

  part() {
    return this.tryOn(async (again) => {
      if (again) await this.askOffset();
      if (this.offset >= this.file.size) return;
      const until = Math.min(this.offset + this.step, this.file.size);
      const bytes = await this.file.slice(this.offset, until).arrayBuffer().catch(() => {
        throw new Refused('The file was moved or changed while it was read. Please choose it again.');
      });
      this.offset = await this.patch(bytes);
      this.draw(0);
    });
  }

  // XMLHttpRequest, since fetch does not tell how much has been sent.
  patch(bytes) {
    return new Promise((done, failed) => {
      const line = new XMLHttpRequest();
      this.line = line;
      line.open('PATCH', this.url);
      line.setRequestHeader('Tus-Resumable', '1.0.0');
      line.setRequestHeader('Upload-Offset', String(this.offset));
      line.setRequestHeader('Content-Type', 'application/offset+octet-stream');
      line.setRequestHeader('X-CSRF-Token', csrf());
      line.upload.onprogress = (event) => this.draw(event.loaded);
      line.onload = () => {
        const at = Number(line.getResponseHeader('Upload-Offset') ?? NaN);
        if (line.status === 204 || (line.status === 409 && Number.isFinite(at))) done(at);
        else failed(this.refusal(line.status, told(line.responseText)));
      };
      line.onerror = () => failed(new TypeError('cut off'));
      line.onabort = () => failed(new DOMException('stopped', 'AbortError'));
      line.send(bytes);
    });
  }

  async askOffset() {
    const response = await fetch(this.url, { method: 'HEAD', headers: { 'Tus-Resumable': '1.0.0' } });
    if (!response.ok) throw this.refusal(response.status);
    this.offset = Number(response.headers.get('Upload-Offset'));
  }

  async problem(response) {
    if (response.redirected) return this.refusal(401);
    return this.refusal(response.status, await reason(response));
  }

  // Undefined means "try again"; everything else ends or pauses the sending.
  refusal(status, words = '') {
    if (status === 401 || status === 403) return new Away('You are signed out. Sign in again in another tab, then go on here.');
    if (status === 423 || status === 429 || status >= 500 && status !== 507) return new TypeError('try again');
    return new Refused(words || `The server refused this (status ${status}). Your draft is kept.`);
  }

  async tryOn(act) {
    const begun = Date.now();
    for (let wait = 1000, again = false; ; wait = Math.min(LONGEST_WAIT, wait * 2), again = true) {
      try {
        const result = await act(again);
        if (again) this.status('Connected again');
        return result;
      } catch (error) {
        if (!(error instanceof TypeError)) throw error;
        if (Date.now() - begun > GIVE_UP_AFTER) throw new Away('No connection for a quarter of an hour. What has arrived is kept; go on when you like.');
        this.status(`No connection. Trying again in ${Math.round(wait / 1000)} s; nothing is lost.`);
        await this.rest(wait);
      }
    }
  }

  rest(wait) {
    return new Promise((done, failed) => {
      const timer = setTimeout(done, wait);
      this.wake = () => { clearTimeout(timer); done(); };
      this.halt = () => { clearTimeout(timer); failed(new DOMException('stopped', 'AbortError')); };
    });
  }

  pause() {
    this.paused = true;
    this.line?.abort();
    this.halt?.();
    this.find('pause').textContent = 'Go on';
    this.status('Paused. What has arrived is kept.');
  }

  async goOn() {
    this.paused = false;
    this.find('pause').textContent = 'Pause';
    this.fail('');
    this.status('Going on');
    try { if (this.url) await this.askOffset(); } catch { /* the next part finds out */ }
    this.send();
  }

  cancel() {
    const address = this.url;
    this.pause();
    this.reset();
    if (address) fetch(address, { method: 'DELETE', headers: { 'Tus-Resumable': '1.0.0', 'X-CSRF-Token': csrf() } }).catch(() => {});
    tell('The upload was cancelled. The draft is kept.');
  }

  reset() {
    this.file = this.url = null;
    this.marks = null;
    this.picker.value = '';
    this.find('drop').hidden = false;
    this.find('going').hidden = true;
    this.find('pause').textContent = 'Pause';
    this.picker.focus();
  }

  status(words) { this.find('status').textContent = words; }
  fail(words) { const line = this.find('error'); line.textContent = words; line.hidden = !words; }

  draw(moving) {
    const sent = (this.offset ?? 0) + moving;
    const percent = Math.floor((100 * sent) / this.file.size);
    this.find('bar').value = percent;
    const now = performance.now();
    this.marks = [...(this.marks ?? []), [now, sent]].filter(([at]) => now - at < 10_000);
    const [at, then] = this.marks[0];
    const rate = now > at ? ((sent - then) * 1000) / (now - at) : 0;
    const facts = [`${size(sent)} of ${size(this.file.size)}`];
    if (rate > 0) facts.push(`${size(rate)}/s`, span((this.file.size - sent) / rate));
    this.find('rate').textContent = facts.join(' · ');
    // Read aloud at every tenth only.
    const tenth = Math.floor(percent / 10) * 10;
    if (tenth > 0 && tenth !== this.tenth) { this.tenth = tenth; this.status(`${tenth} % sent`); }
  }
}

function told(text) {
  try { const found = JSON.parse(text); return found.detail ?? found.title ?? ''; } catch { return ''; }
}

// What is typed is saved a second after the last letter.
const words = document.querySelector('form[data-autosave]');
let waiting = null;
let unsaved = false;

async function saveNow() {
  clearTimeout(waiting);
  if (!words || !unsaved) return;
  const line = words.querySelector('[data-saved]');
  unsaved = false;
  const typed = new URLSearchParams(new FormData(words));
  // Ticked, not yet said: for whom it is waits for a button, and so does opening it to more people.
  for (const name of ['narrow', 'narrowed_to', 'communities', 'widen']) typed.delete(name);
  try {
    const response = await fetch(words.getAttribute('action'), {
      method: 'POST', body: typed,
      headers: { Accept: 'text/html', 'X-CSRF-Token': csrf() },
    });
    if (response.ok) { line.textContent = 'Saved'; return; }
    const found = (await page(response)).querySelector('.field-error, .problem li, main .lead, main h1');
    line.textContent = `Not saved: ${found?.textContent.trim() ?? 'please look at the form again.'}`;
  } catch { line.textContent = 'Not saved yet: no connection.'; unsaved = true; }
}

words?.addEventListener('input', () => {
  unsaved = true;
  words.querySelector('[data-saved]').textContent = '';
  clearTimeout(waiting);
  waiting = setTimeout(saveNow, 1000);
});

// Another form of this page sends its own fields alone: what is typed here is saved first.
document.addEventListener('submit', async (event) => {
  if (!words || !unsaved || event.target === words || event.defaultPrevented) return;
  event.preventDefault();
  await saveNow();
  // Where that did not work, the line says why, and nothing typed is left behind.
  const line = words.querySelector('[data-saved]');
  if (line.textContent === 'Saved') event.target.requestSubmit(event.submitter);
  else line.scrollIntoView({ block: 'center' });
});

// After a refusal the part with the form is renewed: the fresh one must work like the first.
function bind() {
  for (const form of document.querySelectorAll('form.upload:not([data-bound])')) new Sending(form);
}
document.addEventListener('dare:parts', bind);
bind();
