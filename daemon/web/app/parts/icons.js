// Icons, drawn here on a grid of 16: lines of the text's colour.

import { cls, html } from "../ui.js";

const PATHS = {
  check: "M3 8.5 6.5 12 13 4.5",
  chevron: "M5 3.5 10 8l-5 4.5",
  close: "M3.5 3.5l9 9m0-9l-9 9",
  columns: "M2.5 3h11v10h-11zM6.2 3v10M9.8 3v10",
  compare: "M5.5 2.5v11M10.5 2.5v11M2 5h3.5M10.5 11H14",
  contrast: "M8 2.5a5.5 5.5 0 1 0 0 11zM8 2.5a5.5 5.5 0 0 1 0 11M9.5 5h2.7M9.5 8h4M9.5 11h2.7",
  copy: "M5.5 5.5h8v8h-8zM10.5 5.5v-3h-8v8h3",
  chart: "M2.5 2.5v11h11M4.5 10l3-3.5 2.5 2 3.5-4.5",
  down: "M8 2.5v8M4.5 7.5 8 11l3.5-3.5M3 13.5h10",
  edit: "M3 13l.7-3L10.5 3.2l2.3 2.3L6 12.3z",
  file: "M4 2h5l3.5 3.5V14H4zM9 2v3.5h3.5",
  filter: "M2.5 3.5h11L9.3 8.5v4l-2.6 1v-5z",
  folder: "M2 4h4.5L8 5.5h6V13H2z",
  help: "M6 6a2 2 0 1 1 2.9 1.8c-.6.3-.9.7-.9 1.4M8 11.5v.5",
  link: "M6.5 9.5a2.5 2.5 0 0 0 3.6 0l2.2-2.2a2.5 2.5 0 0 0-3.6-3.6L7.6 4.8M9.5 6.5a2.5 2.5 0 0 0-3.6 0L3.7 8.7a2.5 2.5 0 0 0 3.6 3.6l1.1-1.1",
  mesh: "M8 4.5 4 11.5h8zM8 4.5V4M4 11.5l-.5.5M12 11.5l.5.5",
  menu: "M2.5 4.5h11M2.5 8h11M2.5 11.5h11",
  moon: "M12.5 9.5A5 5 0 1 1 6.8 3a4 4 0 0 0 5.7 6.5z",
  more: "M3.5 8h.01M8 8h.01M12.5 8h.01",
  pin: "M6 2.5h4l-.5 4 2 2.5h-7l2-2.5zM8 9v4.5",
  plus: "M8 3v10M3 8h10",
  restore: "M3 8a5 5 0 1 0 1.5-3.5L3 6M3 2.5V6h3.5",
  search: "M7 12A5 5 0 1 0 7 2a5 5 0 0 0 0 10zM10.6 10.6 14 14",
  sun: "M8 11a3 3 0 1 0 0-6 3 3 0 0 0 0 6zM8 1.5v1.2M8 13.3v1.2M1.5 8h1.2M13.3 8h1.2M3.4 3.4l.9.9M11.7 11.7l.9.9M3.4 12.6l.9-.9M11.7 4.3l.9-.9",
  table: "M2.5 3h11v10h-11zM2.5 6.3h11M2.5 9.7h11M6.2 6.3V13",
  tag: "M2.5 2.5h5l6 6-5 5-6-6zM5.2 5.2h.01",
  trash: "M3 4.5h10M6.5 4.5v-2h3v2M4.5 4.5l.5 9h6l.5-9M6.8 7v4M9.2 7v4",
  warn: "M8 2.5 14 13H2zM8 6.5v3M8 11.3v.2",
  zoom: "M2.5 6V2.5H6M10 2.5h3.5V6M13.5 10v3.5H10M6 13.5H2.5V10",
};

/** @param {{ name: keyof typeof PATHS }} props */
export const Icon = ({ name }) => html`
  <svg class=${cls("icon", name === "more" && "dots")} viewBox="0 0 16 16" aria-hidden="true"><path d=${PATHS[name]} /></svg>
`;

export const Logo = () => html`
  <svg class="logo" viewBox="0 0 32 32" aria-hidden="true">
    <rect width="32" height="32" rx="8" />
    <path d="M9 22 16 9l7 13z" />
    <circle cx="16" cy="9" r="3.6" /><circle cx="9" cy="22" r="3.6" /><circle cx="23" cy="22" r="3.6" />
  </svg>
`;
