// The table of runs: as many rows as there are, of which those in view are in the document.
//
// Keys, when the table has the focus: j and k or the arrows move, Enter opens, x or Space chooses, Home and End go
// to the ends. Columns are sorted by a click on their name, moved by dragging it, and sized at its edge.

import { ATTRIBUTES, field, isAttribute, isMetric, title } from "../columns.js";
import { keepSetting, setting } from "../settings.js";
import { choose, chosen } from "../state.js";
import { cls, html, idle, isNarrower, useEffect, useRef, useSignal, useState } from "../ui.js";
import { Menu, MenuItem } from "./dialog.js";
import { GridRow } from "./grid-row.js";
import { Icon } from "./icons.js";

const ROW = 34;
const HEAD = 36;
/** How many pixels wider or narrower a column gets from its menu. */
const STEP = 40;
/** Browsers make no element taller than some 17 million pixels; of a longer table a pixel of scrolling is more than one of rows. */
const MOST_HEIGHT = 12_000_000;
/** Rows drawn beyond what is seen, so that scrolling does not outrun drawing. The first rows are drawn without. */
const MARGIN = 12;
/** Columns that a click sorts from high to low at first, as it does metrics. */
const MOST_FIRST = ["started", "duration"];
const NAME_WIDTH = 230;
const NAME_WIDTH_PHONE = 140;

/** @typedef {import("../api.js").Row} Row */
/**
 * @typedef {{ rows: import("../rows.js").Rows, columns: string[], pinned: string[], widths: Record<string, number>, sort: { column: string, down: boolean } | null,
 *   onSort: (column: string, down: boolean) => void, onColumns: (columns: string[]) => void,
 *   onWidths: (widths: Record<string, number>) => void, onPin: (column: string) => void, onFilter: (clause: string) => void, onOpen: (run: Row) => void }} GridProps
 */

/** @param {string} column */
const widthOf = (column) => ATTRIBUTES[column]?.width ?? (isMetric(column) ? 116 : 136);

/** Whether what a column shows stands at its right. @param {string} column */
const isEnd = (column) => isMetric(column) || (ATTRIBUTES[column]?.end ?? false);

/** What decides how a row is drawn. @typedef {{ run: Row | undefined, top: number, active: boolean, rows: object, look: string }} RowState */
/** @param {RowState} a @param {RowState} b */
const isSame = (a, b) => a.run === b.run && a.top === b.top && a.active === b.active && a.rows === b.rows && a.look === b.look;

/** @param {GridProps} props */
export function Grid(props) {
  const { rows, columns, pinned } = props;
  const box = useRef(/** @type {HTMLDivElement | null} */ (null));
  // It is no higher than the window; how high it is is measured once it was drawn.
  const view = useSignal({ top: 0, height: outerHeight || 900 });
  const [margin, setMargin] = useState(0);
  const active = useSignal(0);
  /** What this browser was told last, of any table. */
  const [kept, setKept] = useState(() => setting("widths", /** @type {Record<string, number>} */ ({})));
  const [dragged, setDragged] = useState(/** @type {Record<string, number>} */ ({}));
  const last = useRef(/** @type {number | null} */ (null));
  // Rows as they were drawn last: given the same element again, Preact does not look at a row.
  const held = useRef(/** @type {Map<number, { row: RowState, drawn: any }>} */ (new Map()));
  rows.version.value;
  const total = rows.total.value ?? 0;

  const tall = Math.min(total * ROW, MOST_HEIGHT);
  const room = view.value.height - HEAD;
  const scale = tall < total * ROW ? (total * ROW - room) / (tall - room) : 1;
  // Where the view would be if all rows had their place, and how far from it they are drawn.
  const top = view.value.top * scale;
  const shift = top - view.value.top;
  const first = Math.max(0, Math.floor(top / ROW) - margin);
  const until = Math.min(total, Math.ceil((top + view.value.height) / ROW) + margin);
  useEffect(() => void (total > 0 && idle().then(() => setMargin(MARGIN))), [total > 0]);
  useEffect(() => rows.want(first, Math.max(until, first + 1)), [rows, first, until]);

  useEffect(() => {
    const element = /** @type {HTMLDivElement} */ (box.current);
    const measure = () => {
      const now = { top: element.scrollTop, height: element.clientHeight };
      if (now.top !== view.peek().top || now.height !== view.peek().height) view.value = now;
    };
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    element.addEventListener("scroll", measure, { passive: true });
    return () => {
      observer.disconnect();
      element.removeEventListener("scroll", measure);
    };
  }, []);
  useEffect(() => {
    active.value = 0;
    box.current?.scrollTo({ top: 0 });
  }, [rows]);

  const ordered = [...columns.filter((c) => pinned.includes(c)), ...columns.filter((c) => !pinned.includes(c))];
  const all = ["name", ...ordered];
  const name = isNarrower(600) ? NAME_WIDTH_PHONE : NAME_WIDTH;
  const width = (/** @type {string} */ column) => dragged[column] ?? props.widths[column] ?? kept[column] ?? (column === "name" ? name : widthOf(column));
  const fixed = 1 + pinned.filter((column) => columns.includes(column)).length;
  let left = 36;
  const places = all.map((column, at) => {
    const place = { column, left: at < fixed ? left : null, last: at === fixed - 1 };
    left += width(column);
    return place;
  });
  const template = `36px ${all.map((column) => `${width(column)}px`).join(" ")} minmax(0, 1fr)`;

  /** @param {number} to */
  const move = (to) => {
    active.value = Math.min(Math.max(0, to), Math.max(0, total - 1));
    const element = /** @type {HTMLDivElement} */ (box.current);
    const wanted = active.value * ROW;
    const seen = element.scrollTop * scale;
    if (wanted < seen) element.scrollTop = wanted / scale;
    else if (wanted + ROW > seen + room) element.scrollTop = (wanted + ROW - room) / scale;
  };
  /** @param {number} index @param {boolean} range */
  const pick = (index, range) => {
    const run = rows.row(index);
    if (!run) return;
    const on = !chosen.value.has(run.id);
    if (range && last.current !== null) {
      const [from, to] = [Math.min(last.current, index), Math.max(last.current, index)];
      const ids = [];
      for (let at = from; at <= to; at++) ids.push(rows.row(at)?.id);
      chosen.value = new Set([...chosen.value, .../** @type {string[]} */ (ids.filter(Boolean))]);
    } else choose(run.id, on);
    last.current = index;
  };
  /** @param {KeyboardEvent} event */
  const onKeyDown = (event) => {
    if (event.target !== box.current || event.ctrlKey || event.metaKey || event.altKey) return;
    const page = Math.floor(view.value.height / ROW) - 2;
    const at = active.value;
    const steps = { j: at + 1, ArrowDown: at + 1, k: at - 1, ArrowUp: at - 1, PageDown: at + page, PageUp: at - page, Home: 0, End: total - 1 };
    if (event.key in steps) move(steps[/** @type {keyof typeof steps} */ (event.key)]);
    else if (event.key === "x" || event.key === " ") pick(at, event.shiftKey);
    else if (event.key === "Enter") {
      const run = rows.row(at);
      if (run) props.onOpen(run);
    } else return;
    event.preventDefault();
    event.stopPropagation();
  };

  /** @param {string} column @param {number} to @param {boolean} done no longer under the pointer */
  const resize = (column, to, done) => {
    const size = Math.min(900, Math.max(56, Math.round(to)));
    setDragged(done ? {} : { [column]: size });
    if (!done) return;
    setKept({ ...kept, [column]: size });
    keepSetting("widths", { ...kept, [column]: size });
    props.onWidths({ ...props.widths, [column]: size });
  };

  // The values of a row come in the order in which the search names the columns.
  const order = new Map(rows.columns.value?.map((column, at) => [column, at]));
  const valueAt = (/** @type {string} */ column) => order.get(column) ?? -1;
  const does = useRef(/** @type {import("./grid-row.js").Does} */ ({})).current;
  Object.assign(does, { onPick: pick, onActive: (/** @type {number} */ to) => (active.value = to), onFilter: props.onFilter, onOpen: props.onOpen });
  const look = JSON.stringify([template, fixed, all, rows.columns.value]);
  const before = held.current;
  held.current = new Map();
  for (let index = first; index < until; index++) {
    const row = { run: rows.row(index), top: index * ROW - shift, active: active.value === index, rows, look };
    const same = before.get(index);
    held.current.set(index, same && isSame(same.row, row) ? same
      : { row, drawn: html`<${GridRow} key=${index} index=${index} top=${row.top} run=${row.run} valueAt=${valueAt} places=${places} template=${template} active=${row.active} does=${does} />` });
  }
  const drawn = [...held.current.values()].map((one) => one.drawn);
  return html`
    <div class="grid" role="grid" aria-label="Runs" tabindex="0" ref=${box} onKeyDown=${onKeyDown} aria-rowcount=${total + 1}
      aria-multiselectable="true" aria-activedescendant=${total ? `row-${active.value}` : undefined}>
      <div class="grid-head" role="row" aria-rowindex="1" style=${{ gridTemplateColumns: template }}>
        <${ChooseAll} rows=${rows} />
        ${places.map((place) => html`<${Heading} key=${place.column} place=${place} all=${columns} sort=${props.sort} width=${width(place.column)}
          pinned=${pinned.includes(place.column)} onSort=${props.onSort} onColumns=${props.onColumns} onPin=${props.onPin} onResize=${resize} />`)}
        <span></span>
      </div>
      <div class="grid-body" role="rowgroup" style=${{ height: `${tall}px` }}>${drawn}</div>
    </div>
  `;
}

/** @param {{ rows: import("../rows.js").Rows }} props */
function ChooseAll({ rows }) {
  const total = rows.total.value ?? 0;
  const most = Math.min(total, 1_000);
  const some = chosen.value.size > 0;
  const click = async () => {
    if (some) {
      chosen.value = new Set();
      return;
    }
    const answer = await rows.ask(0, most, rows.set);
    chosen.value = new Set(answer.rows.map((run) => run.id));
  };
  const label = some ? "Choose none" : most < total ? "Choose the first 1,000" : "Choose all";
  return html`<span class="grid-check pinned" role="columnheader" style=${{ left: 0 }}>
    <input type="checkbox" aria-label=${label} title=${label} checked=${some && most > 0 && chosen.value.size >= most}
      indeterminate=${some && chosen.value.size < most} onChange=${click} />
  </span>`;
}

/** @param {{ place: { column: string, left: number | null, last: boolean }, all: string[], sort: GridProps["sort"], width: number,
 *   pinned: boolean, onSort: GridProps["onSort"], onColumns: GridProps["onColumns"], onPin: GridProps["onPin"],
 *   onResize: (column: string, width: number, done: boolean) => void }} props */
function Heading({ place, all, sort, width, pinned, onSort, onColumns, onPin, onResize }) {
  const { column, left, last } = place;
  const sorts = sort?.column === column ? sort : null;
  const sortable = field(column) !== null;
  const [over, setOver] = useState(false);
  const isName = column === "name";
  const at = all.indexOf(column);
  const name = isName ? "Run" : title(column);
  const click = () => sortable && onSort(column, sorts ? !sorts.down : isMetric(column) || MOST_FIRST.includes(column));
  const grab = (/** @type {PointerEvent} */ event) => {
    const target = /** @type {HTMLElement} */ (event.target);
    const from = event.clientX;
    target.setPointerCapture(event.pointerId);
    target.onpointermove = (now) => onResize(column, width + now.clientX - from, false);
    target.onpointerup = (now) => {
      target.onpointermove = target.onpointerup = null;
      onResize(column, width + now.clientX - from, true);
    };
    event.preventDefault();
    event.stopPropagation();
  };
  const drop = (/** @type {DragEvent} */ event) => {
    setOver(false);
    const moved = event.dataTransfer?.getData("text/column");
    if (!moved || moved === column) return;
    const rest = all.filter((one) => one !== moved);
    rest.splice(isName ? 0 : rest.indexOf(column) + (all.indexOf(moved) < all.indexOf(column) ? 1 : 0), 0, moved);
    onColumns(rest);
    event.preventDefault();
  };
  const items = () => html`
    ${sortable && html`<${MenuItem} onClick=${() => onSort(column, false)} icon="chevron">Sort from low to high<//>`}
    ${sortable && html`<${MenuItem} onClick=${() => onSort(column, true)} icon="chevron">Sort from high to low<//>`}
    ${at > 0 && html`<${MenuItem} onClick=${() => onColumns(all.with(at, all[at - 1]).with(at - 1, column))} icon="chevron">Move to the left<//>`}
    ${at >= 0 && at < all.length - 1 && html`<${MenuItem} onClick=${() => onColumns(all.with(at, all[at + 1]).with(at + 1, column))} icon="chevron">Move to the right<//>`}
    <${MenuItem} onClick=${() => onResize(column, width + STEP, true)} icon="zoom">Wider<//>
    <${MenuItem} onClick=${() => onResize(column, width - STEP, true)} icon="zoom">Narrower<//>
    ${!isName && html`<${MenuItem} onClick=${() => onPin(column)} icon="pin">${pinned ? "Let go of the left edge" : "Keep at the left edge"}<//>`}
    ${!isName && html`<${MenuItem} onClick=${() => onColumns(all.filter((one) => one !== column))} icon="close">Hide<//>`}`;
  return html`
    <span role="columnheader" class=${cls("grid-heading", left !== null && "pinned", last && "edge", over && "over", isEnd(column) && "end")}
      style=${left === null ? {} : { left: `${left}px` }} aria-sort=${sorts ? (sorts.down ? "descending" : "ascending") : undefined}
      onDragOver=${(/** @type {DragEvent} */ event) => (event.preventDefault(), setOver(true))} onDragLeave=${() => setOver(false)} onDrop=${drop}>
      <button class="grid-sort" tabindex="-1" title=${isAttribute(column) || isName ? name : column} disabled=${!sortable} draggable=${!isName} onClick=${click}
        onDragStart=${(/** @type {DragEvent} */ event) => event.dataTransfer?.setData("text/column", column)}>
        <bdi>${name}</bdi>${sorts && html`<span class="arrow" aria-hidden="true">${sorts.down ? "↓" : "↑"}</span>`}
      </button>
      <${Menu} label=${`Column ${name}`} face=${html`<${Icon} name="more" />`} class="quiet grid-more">
        ${items}
      <//>
      <span class="grid-edge" onPointerDown=${grab}></span>
    </span>
  `;
}
