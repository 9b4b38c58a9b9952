// openapi.json is what the server does: the same operations as the route table. openapi_answers_test.cpp
// holds answers against its schemas.
#include "control/api/openapi.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <map>

#include "control/api/endpoints.h"
#include "control/api/route.h"
#include "control/api/schema_check.h"

namespace saemill::api {
namespace {

using Names = std::set<std::string>;

SchemaCheck read_document() {
  return SchemaCheck(Json::parse(openapi_json()));
}

std::string lower(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

// list_devices -> listDevices
std::string camel(const std::string& name) {
  std::string text;
  for (size_t i = 0; i < name.size(); ++i) {
    if (name[i] == '_') continue;
    const bool upper = i > 0 && name[i - 1] == '_';
    text += upper ? static_cast<char>(std::toupper(static_cast<unsigned char>(name[i]))) : name[i];
  }
  return text;
}

std::string operation_id(Endpoint endpoint) {
#define SAEMILL_NAMED(name) \
  { name, camel(#name) }
  static const std::map<Endpoint, std::string> names = {
      SAEMILL_NAMED(list_devices),        SAEMILL_NAMED(one_device),
      SAEMILL_NAMED(device_history),      SAEMILL_NAMED(system_metrics),
      SAEMILL_NAMED(system_host),         SAEMILL_NAMED(recommend_devices),
      SAEMILL_NAMED(validate_devices),    SAEMILL_NAMED(estimate_training),
      SAEMILL_NAMED(inspect_activations), SAEMILL_NAMED(get_config_schema),
      SAEMILL_NAMED(get_metric_catalog),  SAEMILL_NAMED(get_openapi),
      SAEMILL_NAMED(list_events),         SAEMILL_NAMED(get_healthz),
      SAEMILL_NAMED(get_server),          SAEMILL_NAMED(get_metrics),
      SAEMILL_NAMED(get_login),           SAEMILL_NAMED(new_session),
      SAEMILL_NAMED(end_session),         SAEMILL_NAMED(new_login_code),
      SAEMILL_NAMED(list_checkpoints),    SAEMILL_NAMED(list_checkpoint_files),
      SAEMILL_NAMED(get_checkpoint_file), SAEMILL_NAMED(list_sae_files),
      SAEMILL_NAMED(get_sae_file),        SAEMILL_NAMED(get_log),
      SAEMILL_NAMED(list_trainings),      SAEMILL_NAMED(create_trainings),
      SAEMILL_NAMED(one_training),        SAEMILL_NAMED(erase_training),
      SAEMILL_NAMED(control_training),    SAEMILL_NAMED(duplicate_training),
      SAEMILL_NAMED(training_metrics),    SAEMILL_NAMED(training_events),
      SAEMILL_NAMED(erase_checkpoint)};
#undef SAEMILL_NAMED
  const auto found = names.find(endpoint);
  return found != names.end() ? found->second : "an endpoint that this test does not know";
}

Json with_references(const SchemaCheck& check, const Json& value) {
  return value.contains("$ref") ? check.resolve(value["$ref"].get<std::string>()) : value;
}

Names parameters(const SchemaCheck& check, const Json& operation, const std::string& in) {
  Names names;
  const Json list = operation.value("parameters", Json::array());
  for (const Json& entry : list) {
    const Json parameter = with_references(check, entry);
    if (parameter.at("in") == in) names.insert(parameter.at("name").get<std::string>());
  }
  return names;
}

Names braces(const std::string& pattern) {
  Names names;
  for (size_t begin = pattern.find('{'); begin != std::string::npos; begin = pattern.find('{', begin + 1))
    names.insert(pattern.substr(begin + 1, pattern.find('}', begin) - begin - 1));
  return names;
}

// Every {"$ref": ...} at any depth.
void collect_references(const Json& value, Names& references) {
  if (value.is_object() && value.contains("$ref") && value["$ref"].is_string())
    references.insert(value["$ref"].get<std::string>());
  if (!value.is_structured()) return;
  for (const Json& part : value) collect_references(part, references);
}

void collect_schemas(const Json& value, std::vector<Json>& schemas) {
  if (!value.is_structured()) return;
  if (value.is_object() && value.contains("schema")) schemas.push_back(value["schema"]);
  for (const Json& part : value) collect_schemas(part, schemas);
}

TEST(Openapi, EveryRouteIsAnOperation) {
  const SchemaCheck check = read_document();
  const Json& paths = check.document().at("paths");
  for (const Route& route : route_table()) {
    SCOPED_TRACE(std::string(route.method) + " " + route.pattern);
    const std::string method = lower(route.method);
    ASSERT_TRUE(paths.contains(route.pattern) && paths[route.pattern].contains(method));
    const Json& operation = paths[route.pattern][method];
    EXPECT_EQ(operation.at("operationId"), operation_id(route.endpoint));
    EXPECT_LE(operation.at("summary").get<std::string>().size(), 60U);
    EXPECT_EQ(parameters(check, operation, "query"), Names(route.query.begin(), route.query.end()));
    EXPECT_EQ(parameters(check, operation, "path"), braces(route.pattern));
    const Json both = check.document().at("security");
    EXPECT_EQ(operation.value("security", both), route.access == Route::Access::open ? Json::array()
                                                 : route.access == Route::Access::token
                                                     ? Json::parse(R"([{"bearer": []}])")
                                                     : both);
    const bool storable = std::string_view(route.method) == "POST" && route.work == Route::Work::slow &&
                          route.access == Route::Access::signed_in;
    EXPECT_EQ(parameters(check, operation, "header"), storable ? Names{"Idempotency-Key"} : Names{});
  }
}

TEST(Openapi, EveryOperationIsARoute) {
  const SchemaCheck check = read_document();
  Names ids;
  for (const auto& [path, operations] : check.document().at("paths").items()) {
    for (const auto& [method, operation] : operations.items()) {
      SCOPED_TRACE(method + " " + path);
      EXPECT_TRUE(ids.insert(operation.at("operationId").get<std::string>()).second);
      const auto is_this = [&, &wanted = path, &verb = method](const Route& route) {
        return route.pattern == wanted && lower(route.method) == verb;
      };
      const auto table = route_table();
      const bool known = std::any_of(table.begin(), table.end(), is_this);
      EXPECT_NE(known, operation.value("x-websocket", false));  // /ws is served without the table
    }
  }
}

TEST(Openapi, SchemasAreReadAndReferencesResolve) {
  const SchemaCheck check = read_document();
  const Json& components = check.document().at("components");
  Names references;
  collect_references(check.document(), references);
  for (const std::string& reference : references) EXPECT_NO_THROW(check.resolve(reference)) << reference;
  for (const char* kind : {"schemas", "responses", "parameters"})
    for (const auto& [name, component] : components.at(kind).items())
      EXPECT_TRUE(references.contains(fmt::format("#/components/{}/{}", kind, name)))
          << name << " is used nowhere";
  std::vector<Json> schemas;
  collect_schemas(check.document().at("paths"), schemas);
  collect_schemas(components.at("responses"), schemas);
  for (const auto& [name, schema] : components.at("schemas").items()) {
    schemas.push_back(schema);
    // Ours, so that a member which is not written down is found.
    if (schema.value("type", Json()) == "object") {
      EXPECT_TRUE(schema.contains("additionalProperties")) << name;
    }
    for (const Json& required : schema.value("required", Json::array()))
      EXPECT_TRUE(schema.at("properties").contains(required.get<std::string>())) << name << " " << required;
  }
  for (const Json& schema : schemas) EXPECT_NO_THROW(check.check_keywords(schema)) << schema;
}

TEST(Openapi, EveryProblemCodeBelongsToAnAnswer) {
  const SchemaCheck check = read_document();
  const Json& components = check.document().at("components");
  Names written, used;
  for (const Json& code : components.at("schemas").at("ProblemCode").at("enum"))
    written.insert(code.get<std::string>());
  for (const auto& [name, response] : components.at("responses").items()) {
    EXPECT_EQ(response.contains("content"), response.contains("x-codes")) << name;
    const Json codes = response.value("x-codes", Json::array());
    for (const Json& code : codes) used.insert(code.get<std::string>());
  }
  EXPECT_EQ(written, used);
}

}  // namespace
}  // namespace saemill::api
