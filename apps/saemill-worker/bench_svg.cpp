#include "bench_svg.h"

#include <fmt/format.h>

#include <algorithm>

namespace saemill {
namespace {

constexpr double kWidth = 640, kHeight = 400, kLeft = 60, kTop = 50, kRight = 620, kBottom = 350;

std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text)
    out += c == '<' ? "&lt;" : c == '>' ? "&gt;" : c == '&' ? "&amp;" : std::string(1, c);
  return out;
}

std::string text_at(double x, double y, const char* anchor, const std::string& text) {
  return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\">{}</text>\n", x, y, anchor,
                     escaped(text));
}

std::string line(double x1, double y1, double x2, double y2, const char* style) {
  return fmt::format("<line x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\" {}/>\n", x1, y1, x2, y2,
                     style);
}

}  // namespace

std::string scaling_svg(const std::string& title, const std::vector<CurvePoint>& points) {
  double most = 1, least = points.empty() ? 1 : points.front().ranks;
  for (const CurvePoint& point : points) {
    most = std::max({most, static_cast<double>(point.ranks), point.speed_up});
    least = std::min(least, static_cast<double>(point.ranks));
  }
  const auto x = [&](double ranks) { return kLeft + (kRight - kLeft) * ranks / most; };
  const auto y = [&](double speed_up) { return kBottom - (kBottom - kTop) * speed_up / most; };
  std::string svg = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1}\" width=\"{0}\" height=\"{1}\" "
      "font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"{0}\" height=\"{1}\" fill=\"white\"/>\n",
      kWidth, kHeight);
  svg += text_at(kLeft, 25, "start", title);
  svg += line(kLeft, kBottom, kRight, kBottom, "stroke=\"black\"");
  svg += line(kLeft, kTop, kLeft, kBottom, "stroke=\"black\"");
  svg += text_at((kLeft + kRight) / 2, kBottom + 38, "middle", "ranks");
  svg += text_at(kLeft - 8, kTop - 8, "end", "speed-up");
  svg += line(x(0), y(0), x(most), y(most / least), "stroke=\"gray\" stroke-dasharray=\"4\"");
  std::string curve;
  for (const CurvePoint& point : points) {
    const double at = x(point.ranks), height = y(point.speed_up);
    curve += fmt::format("{:.1f},{:.1f} ", at, height);
    svg += text_at(at, kBottom + 18, "middle", std::to_string(point.ranks));
    svg += text_at(kLeft - 8, height + 4, "end", fmt::format("{:.2f}", point.speed_up));
    svg += text_at(at, height - 10, "middle", fmt::format("{:.0f}/s", point.rate));
    svg += fmt::format(
        "<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"4\" stroke=\"steelblue\" fill=\"{}\"><title>{} "
        "ranks{}</title>"
        "</circle>\n",
        at, height, point.shares ? "white" : "steelblue", point.ranks,
        point.shares ? ", which share a device: correctness, not speed" : "");
  }
  svg += fmt::format("<polyline points=\"{}\" fill=\"none\" stroke=\"steelblue\"/>\n", curve);
  return svg + "</svg>\n";
}

}  // namespace saemill
