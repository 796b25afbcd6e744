"""What the tests ask inside the page: JavaScript, each a function or an expression."""

# The mean brightness of the picture that the player shows, 0-255.
LUMA = """() => {
  const video = document.querySelector('video');
  const canvas = document.createElement('canvas');
  canvas.width = 64; canvas.height = 36;
  const g = canvas.getContext('2d');
  g.drawImage(video, 0, 0, 64, 36);
  const data = g.getImageData(0, 0, 64, 36).data;
  let sum = 0;
  for (let i = 0; i < data.length; i += 4) sum += data[i] + data[i + 1] + data[i + 2];
  return sum / (data.length / 4) / 3;
}"""

# Whether the player shows a picture of a media second, paused there or on its way from it.
AT_SECOND = """(second) => {
  const video = document.querySelector('video');
  const time = document.querySelector('.player-time')?.textContent;
  if (!video || video.readyState < 2 || video.seeking || !time) return false;
  const [minutes, seconds] = time.split(':').map(Number);
  return Math.abs(minutes * 60 + seconds - second) < 0.3;
}"""

# What became of the stretches of the first lane.
FATES = """async () => {
  const { fateOf } = await import('/page/fates.js');
  const all = (await import('/page/store.js')).whole();
  const lane = all.lanes[0];
  return [...new Set(lane.looked.map((_, i) => fateOf(all, lane, i)))].sort();
}"""

# What can be pressed or read out and has no name.
NAMELESS = """() => [...document.querySelectorAll(
  'button, input, select, [role=listbox], [role=option], section, aside, video, img:not([alt])')]
  .filter((e) => e.checkVisibility() && !(e.ariaLabel || e.title || e.textContent.trim()))
  .map((e) => e.outerHTML)"""

# Two fingers on the ruler that go twice as far apart.
PINCH = """([x, y]) => {
  const ruler = document.querySelector('#ruler');
  const fire = (type, id, at) => ruler.dispatchEvent(new PointerEvent(type, {
    pointerId: id, clientX: at, clientY: y, bubbles: true, pointerType: 'touch' }));
  fire('pointerdown', 11, x - 50);
  fire('pointerdown', 12, x + 50);
  fire('pointermove', 11, x - 100);
  fire('pointermove', 12, x + 100);
  fire('pointerup', 11, x - 100);
  fire('pointerup', 12, x + 100);
}"""

# What is too small for a finger.
SMALL = """() => [...document.querySelectorAll('button:not(.lane-name), summary, [role=listbox], input')]
  .filter((e) => e.checkVisibility())
  .map((e) => [e.getBoundingClientRect().height, e.outerHTML.slice(0, 80)])
  .filter(([height]) => height < 43.5)"""

# A string that is not in the table shows as ?its_key?.
MISSING = r"""() => [...document.querySelectorAll('[data-t], [aria-label]')]
  .map((e) => `${e.textContent} ${e.ariaLabel}`).join(' ').match(/\?\w+\?/)?.[0] ?? ''"""

# How far the page and the moment in it are wider than they may be, in pixels.
TOO_WIDE = """() => ['html', '.detail', '#panel-view'].map((one) => document.querySelector(one))
  .map((e) => e.scrollWidth - e.clientWidth)"""

WORDS = """async () => (await import('/page/words.js')).words"""
VIEW = "import('/page/store.js').then(({ state }) => [state.view.start, state.view.end])"
