import { expect, it } from "vitest";
import type { ConfigSchema } from "../src/api/schema";
import { applies, config_of, default_words, fields_of, group_size, main_of, representative, steps_of, value_of, values_of, with_any_end,
  with_value } from "../src/form/fields";
import { to_toml } from "../src/form/toml";

const key = (title: string, type: string, more: object = {}) => ({ title, description: title, type, "x-group": title.split(".")[0], ...more });
const SCHEMA = {
  $schema: "", title: "", type: "object", additionalProperties: false,
  properties: {
    name: { title: "name", description: "Name", type: "string", default: "sae" },
    activations: { type: "object", additionalProperties: false, properties: { path: key("activations.path", "string", { default: "" }) } },
    sae: {
      type: "object", additionalProperties: false,
      properties: {
        architecture: key("sae.architecture", "string", { default: "topk", enum: ["topk", "batchtopk", "relu"] }),
        d_sae: key("sae.d_sae", "integer", { default: 0 }),
        k: key("sae.k", "integer", { default: 32, "x-applies-when": { "sae.architecture": "topk, batchtopk" } }),
        l1_coefficient: key("sae.l1_coefficient", "number", { default: 1, "x-applies-when": { "sae.architecture": "relu" } }),
        unit_norm_decoder: key("sae.unit_norm_decoder", "boolean", { default: true }),
      },
    },
    train: {
      type: "object", additionalProperties: false,
      properties: { steps: key("train.steps", "integer", { default: 0 }), lr: key("train.lr", "number", { default: 0 }),
        beta1: key("train.beta1", "number", { default: 0.9 }) },
    },
  },
} as unknown as ConfigSchema;
const FIELDS = fields_of(SCHEMA);
const field = (name: string) => FIELDS.find((one) => one.key === name)!;

it("makes a field of each key, in groups", () => {
  expect(FIELDS.map((one) => one.key)).toContain("sae.l1_coefficient");
  expect([field("name").group, field("sae.k").group]).toEqual(["general", "sae"]);
  expect([field("sae.d_sae").label, field("sae.l1_coefficient").label]).toEqual(["d_sae", "l1 coefficient"]);
  expect(main_of(FIELDS).map((one) => one.key))
    .toEqual(["activations.path", "name", "sae.architecture", "sae.d_sae", "sae.k", "sae.l1_coefficient", "train.steps", "train.lr"]);
});

it("shows what applies to the architecture", () => {
  expect(applies(field("sae.k"), FIELDS, {})).toBe(true); // by the default
  expect(applies(field("sae.k"), FIELDS, { "sae.architecture": "batchtopk" })).toBe(true);
  expect(applies(field("sae.k"), FIELDS, { "sae.architecture": "relu" })).toBe(false);
  expect(applies(field("sae.l1_coefficient"), FIELDS, { "sae.architecture": "relu" })).toBe(true);
});

it("sends what was touched and applies", () => {
  const values = { "sae.k": "16", "sae.l1_coefficient": "5", "train.lr": "3e-4", name: "a", "sae.unit_norm_decoder": "false" };
  expect(config_of(FIELDS, values)).toEqual({ name: "a", sae: { k: 16, unit_norm_decoder: false }, train: { lr: 3e-4 } });
  expect(config_of(FIELDS, { ...values, "sae.architecture": "relu" })["sae"])
    .toEqual({ architecture: "relu", l1_coefficient: 5, unit_norm_decoder: false });
  expect(config_of(FIELDS, { gone: "1" })).toEqual({});
});

it("forgets what is set back to its default, or emptied", () => {
  expect(with_value({ "sae.architecture": "relu" }, field("sae.architecture"), "topk")).toEqual({});
  expect(with_value({}, field("sae.unit_norm_decoder"), "false")).toEqual({ "sae.unit_norm_decoder": "false" });
  expect(with_value({ "sae.k": "8" }, field("sae.k"), " ")).toEqual({});
  expect(with_value({}, field("sae.k"), "32")).toEqual({ "sae.k": "32" }); // as typed
});

it("reads numbers and lists, and leaves what is neither to the server", () => {
  expect(value_of(field("sae.k"), " 8 ")).toBe(8);
  expect(value_of(field("sae.k"), "10_000")).toBe(10_000);
  expect(value_of(field("sae.k"), "8,16, 32")).toEqual([8, 16, 32]);
  expect(value_of(field("sae.k"), "8,")).toEqual([8]);
  expect(value_of(field("sae.k"), "8,many")).toEqual([8, "many"]);
  expect(value_of(field("sae.k"), "many")).toBe("many");
  expect(value_of(field("activations.path"), "/data/a,b")).toBe("/data/a,b");
});

it("counts a group and chooses whom to estimate", () => {
  const group = { name: "a", sae: { k: [8, 32, 16] }, train: { lr: [1e-4, 3e-4], steps: 5 } };
  expect(group_size(group)).toBe(6);
  expect(group_size({ sae: { k: 8 } })).toBe(1);
  expect(representative(group)).toEqual({ name: "a", sae: { k: 32 }, train: { lr: 3e-4, steps: 5 } });
  expect(representative({ sae: { k: [8, "many"] } })).toEqual({ sae: { k: "many" } });
});

it("fills itself from a configuration that was", () => {
  const config = { name: "sae", activations: { path: "/a" }, sae: { architecture: "topk", k: 8, unit_norm_decoder: false },
    train: { steps: 5, beta1: 0.9 } };
  const values = values_of(FIELDS, config);
  expect(values).toEqual({ "activations.path": "/a", "sae.k": "8", "sae.unit_norm_decoder": "false", "train.steps": "5" });
  expect(config_of(FIELDS, values)).toEqual({ activations: { path: "/a" }, sae: { k: 8, unit_norm_decoder: false }, train: { steps: 5 } });
});

it("knows the steps of a run as the server does", () => {
  expect(steps_of({ train: { steps: 10 } }, 4, undefined)).toBe(10);
  expect(steps_of({ train: { steps: 10, tokens: 21 } }, 4, 100)).toBe(6);
  expect(steps_of({ train: { epochs: 0.5 } }, 4, 100)).toBe(13);
  expect(steps_of({ train: { epochs: 2 } }, 4, undefined)).toBeUndefined();
  expect(steps_of({}, 4, 100)).toBeUndefined();
});

it("estimates without an end, but never changes one", () => {
  expect(with_any_end({ sae: { k: 8 } })).toEqual({ sae: { k: 8 }, train: { steps: Number.MAX_SAFE_INTEGER } });
  expect(with_any_end({ train: { lr: 1, epochs: 2 } })).toEqual({ train: { lr: 1, epochs: 2 } });
});

it("writes TOML", () => {
  const config = { name: 'a "b"\n\x7f', sae: { k: [8, 16], unit_norm_decoder: false }, train: { lr: 3e-7, dead_after: 10_000_000 } };
  expect(to_toml(config)).toBe(
    'name = "a \\"b\\"\\n\\u007f"\n\n[sae]\nk = [8, 16]\nunit_norm_decoder = false\n\n[train]\nlr = 3e-7\ndead_after = 10000000\n',
  );
  expect(to_toml({ sae: { k: 8 } })).toBe("[sae]\nk = 8\n");
  expect(to_toml({})).toBe("");
});

it("says what holds while nothing is typed", () => {
  const of = (value: unknown, description: string) => default_words({ key: "", label: "", group: "",
    schema: key("", "", { default: value, description }) as never });
  expect(of(0, "Width of an activation; 0: from the data")).toBe("from the data");
  expect(of(0, "Largest norm; 0: off. Costs a second pass")).toBe("off");
  expect(of("", "Written to cfg.json; empty: from the shard's metadata")).toBe("from the shard's metadata");
  expect([of(256, "Dead latents; 0: none"), of(0, "Of the weights"), of("", "A folder")]).toEqual(["default 256", "default 0", ""]);
});
