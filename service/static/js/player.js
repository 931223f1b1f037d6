// <dare-player>: our controls on the browser's own sound and video.
import { clock, csrf, drawer, inField, keysOn, tell } from './ask.js';

const SPEEDS = [0.5, 0.75, 1, 1.25, 1.5, 1.75, 2, 2.5, 3];
const SEND_EVERY = 15;
const FINISHED_WITHIN = 15;
const DAY = 86_400_000;

class DarePlayer extends HTMLElement {
  connectedCallback() {
    if (this.voice) return;
    this.voice = this.querySelector('video, audio');
    this.face = this.querySelector('.deck-face');
    this.sent = null;
    this.heard = false;
    this.voice.controls = false;
    if (this.voice.localName === 'audio') this.voice.hidden = true;
    this.face.hidden = false;
    this.listen();
    this.restore();
    this.wearSession();
    this.show();
  }

  find(name) { return this.querySelector(`[data-${name}]`); }
  get length() { return Number.isFinite(this.voice.duration) ? this.voice.duration : Number(this.dataset.duration) || 0; }
  get now() { return this.wanted ?? this.voice.currentTime; }
  get playing() { return !this.voice.paused && !this.voice.ended; }

  listen() {
    const on = (name, type, act) => this.find(name)?.addEventListener(type, act);
    const { voice } = this;
    on('play', 'click', () => this.toggle());
    on('back', 'click', () => this.step(-15));
    on('ahead', 'click', () => this.step(30));
    on('seek', 'input', (event) => this.seek(Number(event.target.value)));
    on('seek', 'keydown', (event) => this.seekKey(event));
    on('speed', 'change', (event) => this.setSpeed(Number(event.target.value)));
    on('volume', 'input', (event) => this.setVolume(Number(event.target.value) / 100));
    on('mute', 'click', () => this.mute());
    on('sleep', 'change', (event) => this.sleepAfter(Number(event.target.value)));
    on('listen', 'click', () => this.listenOnly());
    on('captions', 'click', () => this.captions());
    on('full', 'click', () => voice.requestFullscreen?.());
    on('inset', 'click', () => voice.requestPictureInPicture?.());
    if (this.find('inset')) this.find('inset').hidden = !document.pictureInPictureEnabled;
    voice.addEventListener('loadedmetadata', () => this.ready());
    voice.addEventListener('timeupdate', () => this.tick());
    voice.addEventListener('play', () => { this.heard = true; this.trouble(''); this.show(); });
    voice.addEventListener('pause', () => { this.keep(); this.show(); });
    voice.addEventListener('seeked', () => this.tick());
    voice.addEventListener('ended', () => { this.keep(); this.show(); });
    voice.addEventListener('volumechange', () => this.show());
    voice.addEventListener('ratechange', () => this.wearPosition());
    voice.addEventListener('error', () => this.trouble('The sound could not be loaded. Check the network, then press play.'));
    voice.addEventListener('click', () => this.toggle());
    document.addEventListener('fullscreenchange', () => { voice.controls = document.fullscreenElement === voice; });
    document.addEventListener('keydown', (event) => this.key(event));
    document.addEventListener('click', (event) => this.follow(event));
    addEventListener('hashchange', () => { const at = hashSecond(); if (at !== null) this.playFrom(at); });
    addEventListener('pagehide', () => this.keep());
  }

  // Where to begin: the address first, then the newer of what this browser and the server know.
  restore() {
    this.setSpeed(Number(drawer.get('speed')) || 1, true);
    this.voice.volume = Math.min(1, Math.max(0, Number(drawer.get('volume') ?? 1)));
    const linked = hashSecond() ?? (this.dataset.start ? Number(this.dataset.start) : null);
    const at = linked ?? this.keptPosition();
    if (at) this.seek(at, true);
  }

  keptPosition() {
    const here = JSON.parse(drawer.get(`at.${this.dataset.guid}`) ?? 'null');
    const there = this.dataset.position && { seconds: Number(this.dataset.position), at: Date.parse(this.dataset.positionAt) || 0 };
    const kept = !here || (there && there.at > here.at) ? there : here;
    if (!kept) return 0;
    if (this.length && this.length - kept.seconds <= FINISHED_WITHIN) return 0;
    return Math.max(0, kept.seconds - (kept.at && Date.now() - kept.at > DAY ? 3 : 0));
  }

  ready() {
    if (this.wanted !== undefined) { this.voice.currentTime = this.wanted; this.wanted = undefined; }
    this.show();
  }

  toggle() { if (this.playing) this.voice.pause(); else this.play(); }

  play() {
    if (this.voice.error) this.voice.load();
    // A press that the browser interrupts (a second press, a new place) is no failure.
    this.voice.play()?.catch((error) => {
      if (error.name !== 'AbortError' && !this.voice.error) this.trouble('Press play to hear it.');
    });
  }

  playFrom(seconds) { this.seek(seconds); this.play(); }
  step(seconds) { this.seek(this.now + seconds); this.say(`${seconds < 0 ? 'Back' : 'Ahead'} to ${clock(this.now)}`); }

  seek(seconds, quiet = false) {
    const at = Math.min(Math.max(0, seconds), this.length || seconds);
    if (this.voice.readyState > 0) this.voice.currentTime = at;
    else this.wanted = at;
    if (!quiet) this.heard = true;
    this.tick(true);
  }

  seekKey(event) {
    const step = { ArrowLeft: -5, ArrowDown: -5, ArrowRight: 5, ArrowUp: 5, PageDown: -30, PageUp: 30 }[event.key];
    if (!step) return;
    event.preventDefault();
    event.stopPropagation();
    this.seek(this.now + step);
  }

  setSpeed(speed, quiet = false) {
    const best = SPEEDS.includes(speed) ? speed : 1;
    this.voice.defaultPlaybackRate = this.voice.playbackRate = best;
    this.find('speed').value = String(best);
    if (quiet) return;
    drawer.set('speed', best);
    this.say(`Speed ${best}`);
  }

  nextSpeed(direction) {
    const place = SPEEDS.indexOf(this.voice.playbackRate) + direction;
    if (SPEEDS[place]) { this.setSpeed(SPEEDS[place]); this.flash(); }
  }

  // A key's doing is shown where the eye would look for it.
  flash() {
    const select = this.find('speed');
    select.classList.add('flash');
    setTimeout(() => select.classList.remove('flash'), 700);
  }

  setVolume(level) { this.voice.muted = level === 0; this.voice.volume = level; drawer.set('volume', level); }
  mute() { this.voice.muted = !this.voice.muted; this.say(this.voice.muted ? 'Sound off' : 'Sound on'); }

  sleepAfter(minutes) {
    clearTimeout(this.sleeping);
    if (!minutes) return;
    this.say(`Stops in ${minutes} minutes`);
    this.sleeping = setTimeout(() => this.fade(this.voice.volume, 20), minutes * 60_000 - 5000);
  }

  fade(from, left) {
    this.voice.volume = (from * left) / 20;
    if (left > 0) { this.sleeping = setTimeout(() => this.fade(from, left - 1), 250); return; }
    this.voice.pause();
    this.voice.volume = from;
    this.find('sleep').value = '';
  }

  listenOnly() {
    const only = this.find('listen').getAttribute('aria-pressed') !== 'true';
    const { voice } = this;
    const at = this.now;
    const going = this.playing;
    this.picture ??= voice.currentSrc || voice.src;
    voice.src = only ? voice.dataset.sound : this.picture;
    voice.hidden = only;
    this.wanted = at;
    this.find('listen').setAttribute('aria-pressed', only);
    this.setSpeed(Number(this.find('speed').value), true);
    if (going) this.play();
  }

  captions() {
    const track = this.voice.textTracks[0];
    if (!track) return;
    track.mode = track.mode === 'showing' ? 'hidden' : 'showing';
    this.find('captions')?.setAttribute('aria-pressed', track.mode === 'showing');
    this.say(track.mode === 'showing' ? 'Captions on' : 'Captions off');
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || inField(event.target) || !keysOn()) return;
    const onControl = event.target.closest?.('button, a, summary, input');
    const acts = {
      k: () => this.toggle(), j: () => this.step(-15), l: () => this.step(30),
      '<': () => this.nextSpeed(-1), '>': () => this.nextSpeed(1), m: () => this.mute(),
      c: () => this.captions(), f: () => this.voice.localName === 'video' && this.voice.requestFullscreen?.(),
      t: () => document.dispatchEvent(new CustomEvent('dare:to-now')),
    };
    if (!onControl) acts[' '] = acts.k;
    if (/^[0-9]$/.test(event.key) && !event.target.closest?.('input')) acts[event.key] = () => this.seek((this.length * Number(event.key)) / 10);
    const act = acts[event.key.toLowerCase()];
    if (act) { event.preventDefault(); act(); }
  }

  // Every link to a second of this talk plays it from there.
  follow(event) {
    const link = event.target.closest?.('a[data-s]');
    if (link && !event.ctrlKey && !event.metaKey && !event.shiftKey && event.button === 0) {
      event.preventDefault();
      this.playFrom(Number(link.dataset.s));
    }
    if (event.target.closest?.('[data-copy-link]')) this.copyLink();
  }

  async copyLink() {
    const address = new URL(location.pathname, location.origin);
    if (this.now >= 1) address.searchParams.set('t', Math.floor(this.now));
    try {
      await navigator.clipboard.writeText(address.href);
      tell(`Link copied${this.now >= 1 ? `, from ${clock(this.now)}` : ''}.`, 'good');
    } catch { tell(`The link: ${address.href}`); }
  }

  tick(force = false) {
    const second = Math.floor(this.now);
    document.dispatchEvent(new CustomEvent('dare:time', { detail: { seconds: this.now, playing: this.playing } }));
    if (second === this.second && !force) return;
    this.second = second;
    this.show();
    if (this.heard) drawer.set(`at.${this.dataset.guid}`, JSON.stringify({ seconds: this.now, at: Date.now() }));
    if (this.playing && Math.abs(this.now - (this.sent ?? -SEND_EVERY)) >= SEND_EVERY) this.keep();
  }

  get finished() { return this.voice.ended || (this.length > 0 && this.length - this.now <= Math.min(FINISHED_WITHIN, this.length / 2)); }

  keep() {
    if (!this.dataset.keep || !this.heard || this.sent === this.now) return;
    this.sent = this.now;
    fetch(this.dataset.keep, {
      method: 'POST', keepalive: true,
      headers: { 'Content-Type': 'application/json', 'X-CSRF-Token': csrf() },
      body: JSON.stringify({ seconds: Math.round(this.now * 10) / 10, finished: this.finished }),
    }).catch(() => { this.sent = null; });
    this.wearPosition();
  }

  show() {
    const { voice, now } = this;
    const seek = this.find('seek');
    const length = this.length;
    seek.max = Math.ceil(length);
    this.find('total').textContent = clock(length);
    seek.value = now;
    seek.style.setProperty('--done', `${length ? (100 * now) / length : 0}%`);
    seek.setAttribute('aria-valuetext', `${clock(now)} of ${clock(length)}`);
    this.find('now').textContent = clock(now);
    when(this.find('play'), 'playing', this.playing, 'paused');
    this.find('play').setAttribute('aria-label', this.playing ? 'Pause' : 'Play');
    when(this.find('mute'), 'muted', voice.muted, 'loud');
    this.find('mute').setAttribute('aria-pressed', voice.muted);
    const level = voice.muted ? 0 : Math.round(voice.volume * 100);
    this.find('volume').value = level;
    this.find('volume').style.setProperty('--done', `${level}%`);
    this.showPlace(now);
  }

  // The place may be copied and commented on.
  showPlace(now) {
    const copy = document.querySelector('[data-copy-link]');
    if (copy) { copy.hidden = false; copy.querySelector('[data-copy-at]').textContent = now >= 1 ? ` at ${clock(now)}` : ''; }
    const choice = document.querySelector('[data-at-choice]');
    const box = choice?.querySelector('[data-at]');
    if (!box || box.checked) return;
    choice.hidden = now < 1;
    box.value = Math.floor(now);
    choice.querySelector('[data-at-words]').textContent = clock(now);
  }

  say(words) { this.find('say').textContent = words; }
  trouble(words) { const line = this.find('trouble'); line.textContent = words; line.hidden = !words; }

  wearSession() {
    if (!('mediaSession' in navigator)) return;
    const { title, artist, album, art } = this.dataset;
    const artwork = art ? [96, 256, 512].map((size) => ({ src: art, sizes: `${size}x${size}` })) : [];
    navigator.mediaSession.metadata = new MediaMetadata({ title, artist, album, artwork });
    const acts = {
      play: () => this.play(), pause: () => this.voice.pause(),
      seekbackward: () => this.step(-15), seekforward: () => this.step(30),
      seekto: (told) => this.seek(told.seekTime),
    };
    for (const [name, act] of Object.entries(acts)) {
      try { navigator.mediaSession.setActionHandler(name, act); } catch { /* not known here */ }
    }
  }

  wearPosition() {
    if (!this.length || !navigator.mediaSession?.setPositionState) return;
    const position = Math.min(this.now, this.length);
    navigator.mediaSession.setPositionState({ duration: this.length, playbackRate: this.voice.playbackRate, position });
  }
}

function when(button, yes, is, no) {
  button.querySelector(`[data-when=${yes}]`).hidden = !is;
  button.querySelector(`[data-when=${no}]`).hidden = is;
}

function hashSecond() {
  const found = /^#t=(\d+(?:\.\d+)?)$/.exec(location.hash);
  return found ? Number(found[1]) : null;
}

customElements.define('dare-player', DarePlayer);
