// A self-contained HTML page with a curve for each series.
import type { Series, Trend } from "./trend.ts";

const WIDTH = 360;
const HEIGHT = 90;

export function curvesPage(
  title: string,
  about: readonly string[],
  series: readonly Series[],
  trends: readonly Trend[],
  measuredFromS: number,
): string {
  const figures = series.map((one) => {
    const trend = trends.find(({ name }) => name === one.name);
    return figure(one, trend, measuredFromS);
  });
  return `<!doctype html>
<meta charset="utf-8">
<title>${escaped(title)}</title>
<style>
body { font: 14px/1.4 system-ui, sans-serif; margin: 2rem; color: #222; background: #fff }
main { display: flex; flex-wrap: wrap; gap: 1rem }
figure { margin: 0; padding: .5rem; border: 1px solid #ccc; border-radius: 4px }
figure.grows { border-color: #b00; background: #fff4f4 }
figcaption { font-size: 12px; max-width: ${WIDTH}px }
svg { display: block }
</style>
<h1>${escaped(title)}</h1>
${about.map((line) => `<p>${escaped(line)}</p>`).join("\n")}
<main>
${figures.join("\n")}
</main>
`;
}

function figure(series: Series, trend: Trend | undefined, measuredFromS: number): string {
  const last = series.points.at(-1)?.[0] ?? 1;
  const values = series.points.map(([, value]) => value);
  const top = Math.max(...values, 1);
  const x = (atS: number) => ((atS / last) * WIDTH).toFixed(1);
  const y = (value: number) => (HEIGHT - (value / top) * (HEIGHT - 4)).toFixed(1);
  const line = series.points.map(([atS, value]) => `${x(atS)},${y(value)}`).join(" ");
  const verdict =
    trend === undefined
      ? "not judged"
      : `${trend.isGrowing ? "GROWING" : "flat"}: ${number(trend.perHour)} per hour, z ${trend.z.toFixed(1)}`;
  return `<figure${trend?.isGrowing ? ' class="grows"' : ""}>
<figcaption><b>${escaped(series.name)}</b><br>0 to ${number(top)}, finally ${number(values.at(-1) ?? 0)}; ${verdict}</figcaption>
<svg width="${WIDTH}" height="${HEIGHT}" viewBox="0 0 ${WIDTH} ${HEIGHT}">
<rect width="${x(measuredFromS)}" height="${HEIGHT}" fill="#eee"/>
<polyline points="${line}" fill="none" stroke="${trend?.isGrowing ? "#b00" : "#06c"}" stroke-width="1.5"/>
</svg>
</figure>`;
}

export const number = (value: number): string =>
  Math.abs(value) >= 100 ? value.toFixed(0) : Math.abs(value) >= 1 ? value.toFixed(1) : value.toFixed(2);

const escaped = (text: string): string => text.replace(/[&<>"]/g, (char) => `&#${char.charCodeAt(0)};`);
