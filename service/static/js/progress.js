// Asks how far the making of a talk is; when its state changes, the parts that show it are renewed.
import { page, swap } from './ask.js';

const FIRST = 2000;
const LAST = 15_000;

class Watch {
  constructor(place) {
    this.id = place.id;
    this.wait = FIRST;
    this.again();
  }

  get place() { return document.getElementById(this.id); }
  again() { setTimeout(() => this.ask(), this.wait); }

  async ask() {
    const { place } = this;
    if (!place?.dataset.poll) return;
    if (document.hidden) { document.addEventListener('visibilitychange', () => this.ask(), { once: true }); return; }
    try {
      const response = await fetch(place.dataset.poll, { headers: { Accept: 'application/json' } });
      if (response.status === 401 || response.status === 404) return;
      if (response.ok) await this.take(await response.json());
      else this.slower();
    } catch { this.slower(); }
    this.again();
  }

  slower() { this.wait = Math.min(LAST, this.wait * 1.5); }

  async take(told) {
    const { place } = this;
    if (told.state !== place.dataset.state) { await this.renew(); this.wait = FIRST; return; }
    const words = place.querySelector('[data-words]');
    const bar = place.querySelector('[data-percent]');
    const moved = bar && bar.value !== told.percent;
    if (words && told.words && words.textContent !== told.words) {
      words.textContent = told.words;
      if (told.state === 'transcribing') await this.grow();
    }
    if (bar) bar.value = told.percent ?? 0;
    if (moved) this.wait = FIRST; else this.slower();
  }

  async renew() {
    const fresh = await page(await fetch(location.href, { headers: { Accept: 'text/html' } }));
    const names = this.place.dataset.parts.split(' ');
    // What can be heard already is left alone: it may be playing.
    swap(fresh, names.filter((name) => name !== 'player' || !document.querySelector('dare-player')));
  }

  // Lines that have been written down since are put below those that somebody may be reading.
  async grow() {
    const list = document.querySelector('[data-cues]');
    const fresh = await page(await fetch(location.href, { headers: { Accept: 'text/html' } }));
    const more = fresh.querySelector('[data-cues]');
    if (!more) return;
    if (!list) { swap(fresh, ['transcript']); return; }
    const last = Number([...list.querySelectorAll('[data-s]')].at(-1)?.dataset.s ?? -1);
    const added = [...more.children].filter((para) => Number(para.querySelector('[data-s]').dataset.s) > last);
    if (!added.length) return;
    list.append(...added);
    document.dispatchEvent(new CustomEvent('dare:parts'));
  }
}

for (const place of document.querySelectorAll('[data-poll]')) new Watch(place);
