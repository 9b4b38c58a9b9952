// The backends that the conformance table is run on; one file for each kind of build.
#pragma once

#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "conformance/backend_rig.h"

namespace saemill {

struct Case {
  std::string backend;  // cpu | cuda
  DType low;
  std::string isa;  // of cpu
  int threads;
  Shape shape;
};

// ctest shows it; else it would print bytes.
inline std::ostream& operator<<(std::ostream& out, const Case& c) {
  return out << c.backend << " " << dtype_name(c.low) << " " << c.isa << ", " << c.threads << " thread(s), k "
             << c.shape.k;
}

inline std::vector<Shape> conformance_shapes() {
  return {{1, 1, 1, 1, 1},       {3, 5, 7, 2, 3},         {65, 16, 64, 4, 8},
          {200, 33, 130, 8, 16}, {130, 256, 300, 32, 64}, {257, 100, 2100, 5, 40}};
}

std::vector<Case> cases();
// Error where this machine cannot run it: the test is skipped with its reason.
std::unique_ptr<Backend> make_backend(const Case& c);
// Relative error in the 2-norm.
double tolerance(const Case& c);
// Of the dense path, wider where products round their operands: nothing forces which latents are active
// there, and rounding decides it where a pre-activation is near zero.
double dense_tolerance(const Case& c);

}  // namespace saemill
