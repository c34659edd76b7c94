// The lines between the parts of the house, drawn over it once it has its places: from each room up to the rails that
// it is in, down to the volumes that it has mounted, and from who speaks to who listens.

import { s } from "./dom.js";

const NARROW = 640;
const SPREAD = 10;
const INSET = 26;
const GUTTER = 9;

/** Draw into `svg` what `anatomy` says, at the places that the elements of `house` have now. */
export function draw(svg, house, anatomy) {
  if (!anatomy || house.clientWidth < NARROW) {
    svg.replaceChildren();
    return;
  }
  const origin = house.getBoundingClientRect();
  const box = (element) => {
    const { left, top, width, height } = element.getBoundingClientRect();
    return { left: left - origin.left, top: top - origin.top, width, height, right: left - origin.left + width, bottom: top - origin.top + height };
  };
  svg.setAttribute("viewBox", `0 0 ${origin.width} ${origin.height}`);
  svg.setAttribute("width", origin.width);
  svg.setAttribute("height", origin.height);
  const rooms = new Map([...house.querySelectorAll(".room:not([data-empty])")].map((element) => [element.dataset.room, { box: box(element), tint: [...element.classList].find((name) => name.startsWith("tint-")) }]));
  const lines = [...hooks(house, rooms, box), ...mounts(house, rooms, box, anatomy), ...talks(house, rooms, box, anatomy)];
  svg.replaceChildren(...lines);
}

/** From each room up through the rails, with a knot at each that it is in; from a lower row beside the upper rooms. */
function* hooks(house, rooms, box) {
  const rails = [...house.querySelectorAll(".rail")].map((element) => ({ box: box(element), members: element.members ?? [] }));
  const first = Math.min(...[...rooms.values()].map((room) => room.box.top));
  for (const [name, room] of rooms) {
    const mine = rails.filter((rail) => rail.members.includes(name)).map((rail) => rail.box.top + rail.box.height / 2);
    if (!mine.length) continue;
    const { left, top } = room.box;
    const below = top > first + 4;
    const x = below ? left - GUTTER : left + INSET;
    const end = below ? `V${top - INSET}Q${x} ${top - 8} ${x + INSET} ${top - 8}H${left + INSET}V${top}` : `V${top}`;
    yield s("path", { class: `hook ${room.tint}`, d: `M${x} ${Math.min(...mine)}${end}` });
    for (const y of mine) yield s("circle", { class: `knot ${room.tint}`, cx: x, cy: y, r: 4 });
  }
}

/** From rooms to the volumes on the shelf. */
function* mounts(house, rooms, box, anatomy) {
  const places = new Map([...house.querySelectorAll("[data-volume]")].map((element) => [element.dataset.volume, box(element)]));
  for (const volume of anatomy.volumes) {
    const place = places.get(volume.name);
    const users = [...new Set(volume.targets.map(([container]) => container))].filter((name) => rooms.has(name));
    for (const [at, name] of users.entries()) {
      const { box: from, tint } = rooms.get(name);
      if (!place) continue;
      const x = clamp(place.left + place.width / 2 + (at - (users.length - 1) / 2) * SPREAD, from.left + 18, from.right - 18);
      const end = place.left + place.width / 2 + (at - (users.length - 1) / 2) * SPREAD * 2;
      const middle = (from.bottom + place.top) / 2;
      yield s("path", { class: `mount ${tint}`, d: `M${x} ${from.bottom}C${x} ${middle} ${end} ${middle} ${end} ${place.top}` });
    }
  }
}

/** From a room to the port, on the network's rail, at which another room listens. */
function* talks(house, rooms, box, anatomy) {
  for (const talk of anatomy.connections ?? []) {
    const chip = house.querySelector(`[data-port="${CSS.escape(`${talk.target} ${talk.port}`)}"]`);
    const from = rooms.get(talk.source);
    const to = rooms.get(talk.target);
    if (!chip || !from || !to) continue;
    const port = box(chip);
    const x = port.left + port.width / 2;
    const start = clamp(x, from.box.left + 50, from.box.right - 18);
    const finish = clamp(x, to.box.left + 50, to.box.right - 18);
    yield s("path", { class: `talk ${from.tint}`, d: curve(start, from.box.top, x, port.bottom) });
    yield s("path", { class: `talk ${to.tint}`, d: curve(x, port.bottom, finish, to.box.top) });
  }
}

function curve(x1, y1, x2, y2) {
  const middle = (y1 + y2) / 2;
  return `M${x1} ${y1}C${x1} ${middle} ${x2} ${middle} ${x2} ${y2}`;
}

const clamp = (value, low, high) => Math.min(Math.max(value, low), Math.max(low, high));
