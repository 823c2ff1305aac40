// The arithmetic of the grid: pure functions from a layout to the next one. A layout is [{id, x, y, w, h}].
export const COLUMNS = 4;
const MOST_HIGH = 8;

const meet = (a, b) => a.id !== b.id && a.x < b.x + b.w && b.x < a.x + a.w && a.y < b.y + b.h && b.y < a.y + a.h;

// Push what lies in the way of `id` down, then let all rise as far as they can.
function settle(layout, id) {
  const fixed = layout.find((each) => each.id === id);
  const rest = layout.filter((each) => each.id !== id).sort((a, b) => a.y - b.y || a.x - b.x);
  const done = fixed ? [fixed] : [];
  for (const each of rest) {
    const now = { ...each };
    while (done.some((other) => meet(now, other))) now.y += 1;
    done.push(now);
  }
  return risen(done, layout);
}

function risen(layout, order) {
  const done = [];
  for (const each of [...layout].sort((a, b) => a.y - b.y || a.x - b.x)) {
    const now = { ...each };
    while (now.y > 0 && !done.some((other) => meet({ ...now, y: now.y - 1 }, other))) now.y -= 1;
    done.push(now);
  }
  return order.map((each) => done.find((other) => other.id === each.id));
}

export function moved(layout, id, right, down) {
  const next = layout.map((each) => (each.id === id ? { ...each, x: Math.min(COLUMNS - each.w, Math.max(0, each.x + right)), y: Math.max(0, each.y + down) } : { ...each }));
  return settle(next, id);
}

export function resized(layout, id, wider, higher) {
  const next = layout.map((each) => (each.id === id ? { ...each, w: Math.min(COLUMNS - each.x, Math.max(1, each.w + wider)), h: Math.min(MOST_HIGH, Math.max(1, each.h + higher)) } : { ...each }));
  return settle(next, id);
}

// Put widgets, as their plugins size them, at the first free place.
export function placed(layout, widgets) {
  const next = layout.map((each) => ({ ...each }));
  for (const { id, size: [w, h] } of widgets) {
    for (let cell = 0; ; cell += 1) {
      const spot = { id, x: cell % COLUMNS, y: Math.floor(cell / COLUMNS), w, h };
      if (spot.x + w <= COLUMNS && !next.some((other) => meet(spot, other))) { next.push(spot); break; }
    }
  }
  return next;
}

// A layout of another device or of the API as this grid can show it: within its columns, nothing over another.
export function sound(layout) {
  const done = [];
  for (const each of [...layout].sort((a, b) => a.y - b.y || a.x - b.x)) {
    const w = Math.min(each.w, COLUMNS);
    const now = { ...each, w, x: Math.min(each.x, COLUMNS - w), h: Math.min(each.h, MOST_HIGH) };
    while (done.some((other) => meet(now, other))) now.y += 1;
    while (now.y > 0 && !done.some((other) => meet({ ...now, y: now.y - 1 }, other))) now.y -= 1;
    done.push(now);
  }
  return done;
}
