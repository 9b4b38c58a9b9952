import { expect, it } from "vitest";
import { chart_group, follow, shown_range } from "../src/charts/group";
import { Fingers } from "../src/charts/touch";

function touched() {
  const group = chart_group("step", "a");
  group.members.add({ extent: [0, 1000], changed: () => undefined, visible: () => true });
  const read: number[] = [];
  const fingers = new Fingers(group, { area: () => ({ left: 100, width: 500 }), read: (x) => read.push(x) });
  const event = (pointerId: number, clientX: number, isPrimary = pointerId === 1) =>
    ({ pointerType: "touch", pointerId, clientX, isPrimary }) as PointerEvent;
  return { group, read, fingers, event };
}

it("two fingers zoom and move, and one of them that stays moves on from there", () => {
  const { group, read, fingers, event } = touched();
  fingers.down(event(1, 300));
  fingers.moved(event(1, 305));
  expect([read, shown_range(group)]).toEqual([[305], [0, 1000]]); // there is nothing to move
  fingers.down(event(2, 405)); // 410 and 610 of 1000
  fingers.moved(event(1, 205));
  fingers.moved(event(2, 505));
  const [from, to] = shown_range(group) ?? [];
  expect([from, to].map((x) => Math.round(x ?? 0))).toEqual([340, 673]);
  fingers.up(event(2, 505));
  fingers.moved(event(1, 255)); // a tenth of the width
  expect(shown_range(group)?.map(Math.round)).toEqual([307, 640]);
  fingers.up(event(1, 255));
  fingers.moved(event(1, 500));
  expect(shown_range(group)?.map(Math.round)).toEqual([307, 640]);
});

it("closing them shows all again, and a mouse is none", () => {
  const { group, read, fingers, event } = touched();
  group.view.setState({ range: [400, 600] });
  fingers.down(event(1, 120));
  fingers.down(event(2, 580));
  fingers.moved(event(2, 160));
  expect(group.view.getState().range).toBeNull();
  fingers.moved(event(2, 580)); // without lifting them it is as it was
  expect(shown_range(group)).toEqual([400, 600]);
  follow(group);
  fingers.down(event(1, 300)); // of the two before nothing was heard again
  fingers.moved(event(1, 310));
  expect([read, group.view.getState().range]).toEqual([[310], null]);
  fingers.down({ ...event(3, 300), pointerType: "mouse" });
  fingers.moved(event(3, 500));
  expect(read).toEqual([310]);
});

it("what turns out to scroll the page moves nothing", () => {
  const { group, fingers, event } = touched();
  group.view.setState({ range: [400, 600] });
  fingers.down(event(1, 300));
  fingers.moved(event(1, 310));
  expect(shown_range(group)).toEqual([396, 596]);
  fingers.cancelled(event(1, 310));
  expect(shown_range(group)).toEqual([400, 600]);
});
