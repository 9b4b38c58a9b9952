#include "hide_symbols.h"

#include <elf.h>
#include <link.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>

namespace fake_nvml {
namespace {

struct Object {
  ElfW(Addr) base = 0;
  const ElfW(Dyn) * dynamic = nullptr;
  int protection = PROT_READ;  // of the segment that holds the string table
};

const ElfW(Phdr) * segment_of(const dl_phdr_info& info, ElfW(Addr) address) {
  for (int i = 0; i < info.dlpi_phnum; ++i) {
    const auto& segment = info.dlpi_phdr[i];
    const ElfW(Addr) start = info.dlpi_addr + segment.p_vaddr;
    if (segment.p_type == PT_LOAD && address >= start && address < start + segment.p_memsz) return &segment;
  }
  return nullptr;
}

// glibc has added the base to the addresses of the dynamic section, other loaders have not.
ElfW(Addr) dynamic_address(const Object& object, ElfW(Sxword) tag) {
  for (const auto* entry = object.dynamic; entry->d_tag != DT_NULL; ++entry)
    if (entry->d_tag == tag)
      return entry->d_un.d_ptr >= object.base ? entry->d_un.d_ptr : entry->d_un.d_ptr + object.base;
  return 0;
}

int find_own_object(dl_phdr_info* info, size_t, void* result) {
  if (!segment_of(*info, reinterpret_cast<ElfW(Addr)>(&find_own_object))) return 0;
  auto& object = *static_cast<Object*>(result);
  object.base = info->dlpi_addr;
  for (int i = 0; i < info->dlpi_phnum; ++i)
    if (info->dlpi_phdr[i].p_type == PT_DYNAMIC)
      object.dynamic = reinterpret_cast<const ElfW(Dyn)*>(object.base + info->dlpi_phdr[i].p_vaddr);
  const auto* strings = object.dynamic ? segment_of(*info, dynamic_address(object, DT_STRTAB)) : nullptr;
  if (strings)
    object.protection = ((strings->p_flags & PF_R) ? PROT_READ : 0) |
                        ((strings->p_flags & PF_W) ? PROT_WRITE : 0) |
                        ((strings->p_flags & PF_X) ? PROT_EXEC : 0);
  return 1;
}

// The hash of the name stays in the tables; the comparison that follows it fails.
void spoil(char* name, int protection) {
  const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  void* start = reinterpret_cast<void*>(reinterpret_cast<std::uintptr_t>(name) / page * page);
  if (::mprotect(start, page, PROT_READ | PROT_WRITE) != 0) return;
  name[0] = '-';
  ::mprotect(start, page, protection);
}

}  // namespace

void hide_symbols(const std::set<std::string>& names) {
  Object object;
  if (names.empty() || ::dl_iterate_phdr(find_own_object, &object) == 0 || !object.dynamic) return;
  const auto* hash = reinterpret_cast<const std::uint32_t*>(dynamic_address(object, DT_HASH));
  const auto* symbols = reinterpret_cast<const ElfW(Sym)*>(dynamic_address(object, DT_SYMTAB));
  auto* strings = reinterpret_cast<char*>(dynamic_address(object, DT_STRTAB));
  if (!hash || !symbols || !strings) return;
  const std::uint32_t count = hash[1];  // nchain: one link for each symbol
  for (std::uint32_t i = 0; i < count; ++i) {
    char* name = strings + symbols[i].st_name;
    if (symbols[i].st_shndx != SHN_UNDEF && names.contains(name)) spoil(name, object.protection);
  }
}

}  // namespace fake_nvml
