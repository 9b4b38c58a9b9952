// src/api/schema.ts from the schemas of openapi.json: what the server checks its answers against.
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const source = process.env.SAEMILL_OPENAPI ?? here("../../src/control/api/openapi.json");
const { schemas } = JSON.parse(readFileSync(source, "utf8")).components;
const basic = { string: "string", integer: "number", number: "number", boolean: "boolean", null: "null" };

function one_type(name, schema) {
  if (name === "array") return `${grouped(schema.items ?? {})}[]`;
  if (name === "object") return object_type(schema);
  if (!(name in basic)) throw new Error(`no type for ${JSON.stringify(schema)}`);
  return basic[name];
}

function object_type({ properties = {}, required = [], additionalProperties }) {
  const members = Object.entries(properties).map(([name, schema]) => {
    const note = schema.description ? `/** ${schema.description.replaceAll("*/", "* /")} */ ` : "";
    return `${note}${JSON.stringify(name)}${required.includes(name) ? "" : "?"}: ${type_of(schema)};`;
  });
  if (additionalProperties === true) members.push("[name: string]: unknown;");
  else if (typeof additionalProperties === "object") members.push(`[name: string]: ${type_of(additionalProperties)};`);
  return members.length ? `{\n  ${members.join("\n  ")}\n}` : "Record<string, never>";
}

function type_of(schema) {
  if (schema.$ref) return schema.$ref.split("/").at(-1);
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
  if ("const" in schema) return JSON.stringify(schema.const);
  if (schema.oneOf) return schema.oneOf.map(grouped).join(" | ");
  if (schema.type === undefined) return "unknown";
  return [schema.type].flat().map((name) => one_type(name, schema)).join(" | ");
}

function grouped(schema) {
  const type = type_of(schema);
  return type.includes(" | ") ? `(${type})` : type;
}

const types = Object.entries(schemas).map(([name, schema]) => {
  const note = schema.description ? `/** ${schema.description.replaceAll("*/", "* /")} */\n` : "";
  return `${note}export type ${name} = ${type_of(schema)};\n`;
});
const text = `// Written by scripts/types.mjs from openapi.json.\n\n${types.join("\n")}`;
writeFileSync(here("../src/api/schema.ts"), text);
