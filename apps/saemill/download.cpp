// saemill download: a training's SAE, or one of its checkpoints, from the server into a folder.
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <fstream>

#include "commands.h"
#include "common/base/error.h"
#include "common/base/file.h"
#include "control/launch/fd.h"
#include "staged_file.h"
#include "text_table.h"
#include "trainings_client.h"
#include "watch.h"

namespace saemill {
namespace {

using Json = nlohmann::ordered_json;

struct Options {
  ServerChoice server;
  std::vector<std::string> ids;
  std::string out, checkpoint;
  bool force = false, json = false;
};

// What a server names must not lead out of the folder.
void check_name(const std::string& name) {
  if (name.empty() || name.front() == '.' || name.find('/') != std::string::npos ||
      name.find('\0') != std::string::npos)
    fail(ErrorCode::bad_data, "the server names a file \"{}\", which is no file name", printable(name));
}

std::string folder_name(const Json& training) {
  std::string name = printable(text_of(training, "name")) + "-" + text_of(training, "id");
  std::replace(name.begin(), name.end(), '/', '_');
  if (name.front() == '.') name.front() = '_';
  return name;
}

struct Source {
  std::string target;  // the list of files, and each file below it
  fs::path out;
};

Source source_of(TrainingsClient& client, const Json& training, const Options& options) {
  const std::string id = text_of(training, "id");
  std::string part = "sae";
  if (!options.checkpoint.empty()) part = "checkpoints/" + checkpoint_named(client, id, options.checkpoint);
  const std::string target = training_target(
      id,
      options.checkpoint.empty() ? "/sae" : "/checkpoints/" + escaped(fs::path(part).filename().string()));
  return {target, options.out.empty() ? fs::path(folder_name(training)) / part : fs::path(options.out)};
}

// What is there already, and is not the same, is not replaced without --force.
void refuse_to_replace(const fs::path& path, const Options& options) {
  if (!options.force)
    fail(ErrorCode::usage, "{} is there and differs; --force replaces it, --out names another folder",
         path.string());
}

// One download at a time writes into a folder.
Fd locked(const fs::path& folder) {
  Fd lock(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!lock) fail(ErrorCode::usage, "{} cannot be written", folder.string());
  if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0)
    fail(ErrorCode::usage, "another download writes into {}", folder.parent_path().string());
  return lock;
}

void make_folder(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) fail(ErrorCode::usage, "{} cannot be made: {}", folder.string(), error.message());
}

std::vector<RemoteFile> files_of(TrainingsClient& client, const Source& source) {
  std::vector<RemoteFile> files;
  const Json list = client.http().json("GET", source.target).at("data");
  for (const Json& file : list) {
    const std::string name = text_of(file, "name");
    check_name(name);
    files.push_back(look_at(client, source.target + "/" + escaped(name), name));
  }
  return files;
}

// Everything is fetched beside, then put in place, so that nothing there is half of one and half of another.
void fetch_all(TrainingsClient& client, const std::vector<RemoteFile>& files, const Source& source,
               const Options& options) {
  const auto differs = [&](const RemoteFile& file) {
    std::error_code error;
    const auto bytes = fs::file_size(source.out / file.name, error);
    return fs::exists(source.out / file.name) && (error || bytes != static_cast<uint64_t>(file.bytes));
  };
  for (const RemoteFile& file : files)
    if (differs(file)) refuse_to_replace(source.out / file.name, options);
  const fs::path beside = source.out / ".download";
  make_folder(beside);
  const Fd lock = locked(beside);
  for (const RemoteFile& file : files) fetch(client, file, beside / staged_name(file));
  std::vector<const RemoteFile*> news;
  for (const RemoteFile& file : files) {
    const fs::path path = source.out / file.name;
    if (same_content(beside / staged_name(file), path)) continue;
    if (fs::exists(path)) refuse_to_replace(path, options);
    news.push_back(&file);
  }
  for (const RemoteFile* file : news)
    real_file_system().rename(beside / staged_name(*file), source.out / file->name);
  fs::remove_all(beside);
}

int run(const Options& options) {
  TrainingsClient client(options.server);
  const Json training = client.find(options.ids).front();
  const Source source = source_of(client, training, options);
  const std::vector<RemoteFile> files = files_of(client, source);
  if (files.empty()) fail(ErrorCode::usage, "{} has no files any more", source.target);
  make_folder(source.out);
  fetch_all(client, files, source, options);
  Json list = Json::array();
  for (const RemoteFile& file : files) list.push_back({{"name", file.name}, {"bytes", file.bytes}});
  if (options.json) {
    put(Json{{"id", training.at("id")}, {"folder", source.out.string()}, {"files", list}}.dump() + "\n");
  } else {
    put(source.out.string() + "\n");
  }
  return 0;
}

}  // namespace

void add_download(CLI::App& app, Command& chosen) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("download", "Fetch a training's SAE, or one of its checkpoints, from the server");
  command->add_option("id", options->ids, "An id, its beginning (at least 4 characters), or a name")
      ->required()
      ->expected(1)
      ->type_name("ID");
  command
      ->add_option("--out", options->out,
                   "The folder for the files; default: NAME-ID/sae, or NAME-ID/checkpoints/step-...")
      ->type_name("DIR");
  command
      ->add_option("--checkpoint", options->checkpoint, "Instead of the SAE: a checkpoint, by step or name")
      ->type_name("STEP|NAME");
  command->add_flag("--force", options->force, "Replace files that are there and differ");
  add_server_options(*command, options->server);
  command->add_flag("--json", options->json, "{id, folder, files[{name, bytes}]} on one line");
  command->callback([options, &chosen] { chosen = [options] { return run(*options); }; });
}

}  // namespace saemill
