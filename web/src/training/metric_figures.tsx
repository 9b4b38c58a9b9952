// Figures of metrics: over steps or times, of all ranks together or of each.
import { memo } from "react";
import type { ChartGroup } from "../charts/group";
import { curve_look } from "../charts/looks";
import type { PlotMarker } from "../charts/markers";
import { Plot, type PlotCurve } from "../charts/plot";
import type { Curves } from "../live/series";
import type { MetricFigure } from "./figures";
import { by_rank } from "./rank_curves";

interface Props<Data> {
  figures: readonly MetricFigure[];
  curves: Data;
  group: ChartGroup;
  markers: PlotMarker[];
  extent: readonly [number, number] | undefined;
}

function words({ title, help, unit, format, binary = false, from_zero }: MetricFigure) {
  return { title, help, unit, y_min_zero: from_zero, binary, ...(format && { format }) };
}

// Of parts and their whole, the whole is what is told.
function main_of({ curves }: MetricFigure): { main?: string } {
  const [first] = curves;
  return first !== undefined && curves.length > 1 ? { main: first.label } : {};
}

export const MetricFigures = memo(function MetricFigures({ figures, curves, group, markers, extent }: Props<Curves>) {
  const common = { group, markers, ...(extent && { extent }) };
  const x = group.axis === "step" ? curves.step : curves.time;
  return figures.map((figure) => {
    const drawn = figure.curves.flatMap(({ name, label, look }): PlotCurve[] => {
      const columns = curves.columns[name];
      return columns === undefined ? [] : [{ label, ...look, ...columns }];
    });
    return <Plot key={figure.title} {...words(figure)} {...main_of(figure)} {...common} x={x} curves={drawn} />;
  });
});

export const RankFigures = memo(function RankFigures({ figures, curves, group, markers, extent }: Props<Curves[]>) {
  const common = { group, markers, ...(extent && { extent }) };
  return figures.map((figure) => {
    const { step, time, columns } = by_rank(curves, figure.curves[0]?.name ?? "");
    const drawn = columns.flatMap((one, rank): PlotCurve[] =>
      one === null ? [] : [{ label: `rank ${rank}`, ...curve_look(rank), mean: one.mean }],
    );
    return <Plot key={figure.title} legend {...words(figure)} {...common} x={group.axis === "step" ? step : time} curves={drawn} />;
  });
});
