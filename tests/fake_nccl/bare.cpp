// A library of which only the version can be asked.
extern "C" __attribute__((visibility("default"))) int ncclGetVersion(int* version) {
  *version = FAKE_NCCL_VERSION;
  return 0;
}
