// The transcript follows the voice, and can be searched.
const still = matchMedia('(prefers-reduced-motion: reduce)');
let cues = [];
let starts = [];
let current = null;
let following = false;
let ownScrollUntil = 0;

const section = () => document.getElementById('transcript');
const toNow = () => section()?.querySelector('[data-to-now]');

function read() {
  cues = [...document.querySelectorAll('#transcript .para p a[data-s]')];
  starts = cues.map((cue) => Number(cue.dataset.s));
  current = null;
  const find = section()?.querySelector('[data-find]');
  if (find) find.hidden = false;
}

// The last cue that has begun, or -1 before the first.
function placeOf(seconds) {
  let low = 0;
  let high = starts.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (starts[middle] <= seconds + 0.05) low = middle + 1; else high = middle;
  }
  return low - 1;
}

function inView(cue) {
  const box = cue.getBoundingClientRect();
  const above = document.querySelector('.deck')?.getBoundingClientRect().bottom ?? 0;
  return box.top >= Math.max(0, above) && box.bottom <= innerHeight - 24;
}

function scrollTo(cue) {
  ownScrollUntil = performance.now() + 900;
  cue.scrollIntoView({ block: 'center', behavior: still.matches ? 'instant' : 'smooth' });
}

document.addEventListener('dare:time', ({ detail }) => {
  const cue = cues[placeOf(detail.seconds)] ?? null;
  const before = current;
  if (cue !== before) {
    before?.removeAttribute('aria-current');
    // Before it was first played nothing is "now".
    cue?.setAttribute('aria-current', 'true');
    current = cue;
  }
  if (!current) return;
  const seen = inView(current);
  // Following begins where the reader already is, and never pulls the page from elsewhere.
  if (detail.playing && following && !seen && cue !== before) scrollTo(current);
  else if (seen) following = true;
  if (toNow()) toNow().hidden = seen || following || !detail.playing;
});

addEventListener('scroll', () => {
  if (performance.now() < ownScrollUntil || !current) return;
  following = inView(current);
}, { passive: true });

function backToNow() {
  if (!current) return;
  following = true;
  scrollTo(current);
  if (toNow()) toNow().hidden = true;
}
document.addEventListener('dare:to-now', backToNow);
document.addEventListener('click', (event) => { if (event.target.closest('[data-to-now]')) backToNow(); });

// Finding: across the borders of cues, without regard to case and accents.
const plain = (text) => text.normalize('NFD').replace(/\p{M}/gu, '').toLowerCase();
let hits = [];
let place = 0;

function find(words) {
  for (const cue of cues) cue.classList.remove('found', 'is-here');
  hits = [];
  place = 0;
  const wanted = plain(words.trim());
  if (wanted.length > 1) {
    const ends = [];
    let whole = '';
    for (const cue of cues) { whole += `${plain(cue.textContent.trim())} `; ends.push(whole.length); }
    let cue = 0;
    for (let at = whole.indexOf(wanted); at >= 0; at = whole.indexOf(wanted, at + wanted.length)) {
      while (ends[cue] <= at) cue += 1;
      for (let last = cue; last < cues.length && (last === cue || ends[last - 1] < at + wanted.length); last += 1) cues[last].classList.add('found');
      hits.push(cues[cue]);
    }
  }
  showHit(words, false);
}

function showHit(words, jump) {
  const count = section().querySelector('[data-find-count]');
  section().querySelector('[data-find-next]').hidden = hits.length < 1;
  for (const cue of cues) cue.classList.remove('is-here');
  count.textContent = words.trim().length < 2 ? '' : hits.length ? `${place + 1} of ${hits.length}` : 'Not said';
  const hit = hits[place];
  if (!hit) return;
  hit.classList.add('is-here');
  following = false;
  if (jump || !inView(hit)) scrollTo(hit);
}

function next(step) {
  if (!hits.length) return;
  place = (place + step + hits.length) % hits.length;
  showHit(section().querySelector('#find').value, true);
}

document.addEventListener('input', (event) => { if (event.target.id === 'find') find(event.target.value); });
document.addEventListener('keydown', (event) => {
  if (event.target.id !== 'find' || event.key !== 'Enter') return;
  event.preventDefault();
  next(event.shiftKey ? -1 : 1);
});
document.addEventListener('click', (event) => { if (event.target.closest('[data-find-next]')) next(1); });

document.addEventListener('dare:parts', read);
read();
