#include "control/api/schema_check.h"

#include <gtest/gtest.h>

namespace saemill::api {
namespace {

using Json = SchemaCheck::Json;

const char* const kDocument = R"({"components": {"schemas": {
  "Leaf": {"type": "object", "required": ["n"], "additionalProperties": false,
           "properties": {"n": {"type": "integer", "minimum": 1, "maximum": 9}, "note": {"type": "string"}}},
  "List": {"type": "array", "minItems": 1, "maxItems": 2, "items": {"$ref": "#/components/schemas/Leaf"}}}}})";

bool fits(const char* schema, const char* value) {
  SchemaCheck check(Json::parse(kDocument));
  return check.errors(Json::parse(schema), Json::parse(value)).empty();
}

TEST(SchemaCheck, Types) {
  for (const char* value : {"{}", "[]", "\"a\"", "true", "1", "1.5", "null"}) {
    int fitting = 0;
    for (const char* type : {"object", "array", "string", "boolean", "number", "null"})
      fitting += fits(("{\"type\": \"" + std::string(type) + "\"}").c_str(), value) ? 1 : 0;
    EXPECT_EQ(fitting, 1) << value;
  }
  EXPECT_TRUE(fits(R"({"type": "integer"})", "1"));
  EXPECT_FALSE(fits(R"({"type": "integer"})", "1.0"));
  EXPECT_TRUE(fits(R"({"type": ["string", "null"]})", "null"));
  EXPECT_FALSE(fits(R"({"type": ["string", "null"]})", "0"));
}

TEST(SchemaCheck, Values) {
  EXPECT_TRUE(fits(R"({"enum": ["a", "b"]})", "\"b\""));
  EXPECT_FALSE(fits(R"({"enum": ["a", "b"]})", "\"c\""));
  EXPECT_TRUE(fits(R"({"const": false})", "false"));
  EXPECT_FALSE(fits(R"({"const": false})", "true"));
  EXPECT_FALSE(fits(R"({"minimum": 0})", "-0.5"));
  EXPECT_FALSE(fits(R"({"maximum": 100})", "101"));
  EXPECT_TRUE(fits(R"({"minimum": 0, "maximum": 100})", "100"));
  EXPECT_FALSE(fits(R"({"maxLength": 2})", "\"abc\""));
  EXPECT_TRUE(fits(R"({"format": "date-time"})", "\"2026-01-31T12:34:56.789Z\""));
  EXPECT_FALSE(fits(R"({"format": "date-time"})", "\"2026-01-31 12:34:56.789\""));
}

TEST(SchemaCheck, MembersAndItems) {
  const char* leaf = R"({"$ref": "#/components/schemas/Leaf"})";
  EXPECT_TRUE(fits(leaf, R"({"n": 1, "note": "x"})"));
  EXPECT_TRUE(fits(leaf, R"({"n": 1})"));
  EXPECT_FALSE(fits(leaf, R"({})"));
  EXPECT_FALSE(fits(leaf, R"({"n": 1, "more": 2})"));
  EXPECT_FALSE(fits(leaf, R"({"n": 0})"));
  const char* list = R"({"$ref": "#/components/schemas/List"})";
  EXPECT_TRUE(fits(list, R"([{"n": 1}, {"n": 2}])"));
  EXPECT_FALSE(fits(list, R"([{"n": 1}, {"n": 2, "x": 1}])"));
  EXPECT_FALSE(fits(list, "[]"));
  EXPECT_FALSE(fits(list, R"([{"n": 1}, {"n": 1}, {"n": 1}])"));
  const char* map = R"({"type": "object", "additionalProperties": {"type": "string"}})";
  EXPECT_TRUE(fits(map, R"({"a": "b"})"));
  EXPECT_FALSE(fits(map, R"({"a": 1})"));
}

TEST(SchemaCheck, Choices) {
  const char* one =
      R"({"oneOf": [{"type": "integer"}, {"type": "number"}, {"$ref": "#/components/schemas/Leaf"}]})";
  EXPECT_TRUE(fits(one, "1.5"));
  EXPECT_TRUE(fits(one, R"({"n": 1})"));
  EXPECT_FALSE(fits(one, "true"));
  const char* both = R"({"oneOf": [{"type": "string"}, {"enum": ["a"]}]})";
  EXPECT_FALSE(fits(both, "\"a\""));
  EXPECT_TRUE(fits(R"({"anyOf": [{"type": "string"}, {"enum": ["a"]}]})", "\"a\""));
}

TEST(SchemaCheck, WhatItDoesNotKnowIsNotPassedOver) {
  EXPECT_THROW(fits(R"({"pattern": "a"})", "\"a\""), std::logic_error);
  EXPECT_THROW(fits(R"({"format": "email"})", "\"a\""), std::logic_error);
  EXPECT_THROW(fits(R"({"properties": {"a": {"allOf": []}}})", "1"), std::logic_error);
  EXPECT_THROW(fits(R"({"$ref": "#/components/schemas/Nothing"})", "1"), std::logic_error);
}

TEST(SchemaCheck, RemembersOptionalMembersOfWhatFits) {
  SchemaCheck check(Json::parse(kDocument));
  const Json leaf = Json::parse(R"({"$ref": "#/components/schemas/Leaf"})");
  EXPECT_FALSE(check.errors(leaf, Json::parse(R"({"n": 0, "note": "x"})")).empty());
  EXPECT_TRUE(check.seen().empty());
  EXPECT_TRUE(check.errors(leaf, Json::parse(R"({"n": 1})")).empty());
  EXPECT_EQ(check.seen(), (std::set<std::string>{"Leaf.note absent"}));
}

}  // namespace
}  // namespace saemill::api
