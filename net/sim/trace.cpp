#include <cove/net/sim/trace.hpp>

#include <algorithm>
#include <cstring>
#include <string_view>

namespace cove::sim {
namespace {

// "   12.345678901 server    recv  10.0.0.1:8080 <- ... = 5": the time in seconds since the world began.
std::string to_line(const trace::event& happened) {
    char start[128];
    const auto nanoseconds = happened.at.time_since_epoch().count();
    std::snprintf(start, sizeof start, "%6lld.%09lld  %-10s %s", static_cast<long long>(nanoseconds / 1'000'000'000),
                  static_cast<long long>(nanoseconds % 1'000'000'000), happened.host, happened.what);
    std::string line = start;
    if (*happened.detail != '\0') line += std::string(" ") + happened.detail;
    if (happened.from != detail::endpoint()) line += ' ' + to_string(happened.from);
    if (happened.to != detail::endpoint()) line += " -> " + to_string(happened.to);
    if (happened.value != 0) line += " : " + std::to_string(happened.value);
    return line + '\n';
}

}  // namespace

void trace::add(const event& happened) noexcept {
    ring_[added_++ % kept] = happened;
    const auto mix = [this](std::uint64_t value) {
        fingerprint_ = (fingerprint_ ^ value) * 0x0000'0100'0000'01b3;
        fingerprint_ ^= fingerprint_ >> 29;
    };
    mix(static_cast<std::uint64_t>(happened.at.time_since_epoch().count()));
    for (std::string_view text : {std::string_view(happened.host), {happened.what}, {happened.detail}}) {
        do {
            std::uint64_t piece = 0;
            const std::size_t size = std::min(text.size(), sizeof piece);
            std::memcpy(&piece, text.data(), size);
            mix(piece ^ text.size());
            text.remove_prefix(size);
        } while (!text.empty());
    }
    for (const detail::endpoint* each : {&happened.from, &happened.to})
        for (const std::uint64_t part : {each->high, each->low, std::uint64_t{each->port}}) mix(part);
    mix(static_cast<std::uint64_t>(happened.value));
    if (printed_to_ != nullptr) std::fputs(to_line(happened).c_str(), printed_to_);
}

std::string trace::last() const {
    std::string lines;
    for (std::uint64_t i = added_ - std::min<std::uint64_t>(added_, kept); i < added_; ++i)
        lines += to_line(ring_[i % kept]);
    return lines;
}

}  // namespace cove::sim
