#include <cove/net/sim/command.hpp>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <exception>
#include <memory>
#include <optional>
#include <string_view>
#include <thread>

namespace cove::sim {
namespace {

struct arguments {
    const named_scenario* chosen = nullptr;
    seed_range seeds{1, 1000};
    bool every_call = false;
    std::string trace;
    unsigned jobs = std::max(1U, std::thread::hardware_concurrency());
};

// Thrown for arguments that cannot be understood.
struct bad_argument {
    std::string text;
};

std::uint64_t read_number(std::string_view text) {
    std::uint64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc() || end != text.data() + text.size())
        throw bad_argument{"not a number: " + std::string(text)};
    return number;
}

seed_range read_range(std::string_view text) {
    const std::size_t dots = text.find("..");
    if (dots == text.npos) throw bad_argument{"seeds are given as A..B, not as " + std::string(text)};
    return {read_number(text.substr(0, dots)), read_number(text.substr(dots + 2))};
}

arguments read(std::span<char*> given, std::span<const named_scenario> scenarios) {
    arguments asked;
    for (std::size_t i = 0; i < given.size(); ++i) {
        const std::string_view name = given[i];
        const auto value = [&]() -> std::string_view {
            if (++i == given.size()) throw bad_argument{std::string(name) + " needs a value"};
            return given[i];
        };
        if (name == "--seeds") {
            asked.seeds = read_range(value());
        } else if (name == "--seed") {
            asked.seeds.first = asked.seeds.last = read_number(value());
        } else if (name == "--trace") {
            asked.trace = value();
        } else if (name == "--jobs") {
            asked.jobs = static_cast<unsigned>(read_number(value()));
        } else if (name == "--every-call") {
            asked.every_call = true;
        } else {
            for (const named_scenario& each : scenarios)
                if (each.name == name) asked.chosen = &each;
            if (asked.chosen == nullptr) throw bad_argument{"no such scenario or option: " + std::string(name)};
        }
    }
    return asked;
}

void print(const arguments& asked, const totals& sum, std::chrono::duration<double> took) {
    const double hours = std::chrono::duration<double, std::ratio<3600>>(sum.time).count();
    std::printf(
        "%s: %llu runs passed in %.1f s: %.1f simulated hours (%.1f a second), %llu events, %llu calls, %llu turns\n",
        asked.chosen->name.c_str(), static_cast<unsigned long long>(sum.runs), took.count(), hours,
        hours / std::max(took.count(), 1e-9), static_cast<unsigned long long>(sum.events),
        static_cast<unsigned long long>(sum.calls), static_cast<unsigned long long>(sum.turns));
    if (sum.faults.total() == 0) return;
    std::printf("faults:");
    for (std::size_t i = 0; i < fault_count; ++i)
        if (const auto kind = static_cast<fault>(i); sum.faults[kind] > 0)
            std::printf(" %s %llu", name_of(kind), static_cast<unsigned long long>(sum.faults[kind]));
    std::printf("\n");
}

totals run_traced(const arguments& asked) {
    const auto close = [](std::FILE* file) { return std::fclose(file); };
    std::unique_ptr<std::FILE, decltype(close)> file(nullptr, close);
    totals sum;
    plan which(asked.seeds.first);
    which.into = &sum;
    which.trace = stdout;
    if (asked.trace != "-") {
        file.reset(std::fopen(asked.trace.c_str(), "w"));
        if (file == nullptr) throw bad_argument{asked.trace + ": " + std::strerror(errno)};
        which.trace = file.get();
    }
    asked.chosen->run(which);
    return sum;
}

int run(const arguments& asked) {
    const auto start = std::chrono::steady_clock::now();
    try {
        totals sum;
        if (!asked.trace.empty())
            sum = run_traced(asked);
        else if (asked.every_call)
            sum = fail_every_call(asked.chosen->run, asked.seeds.first, asked.jobs);
        else
            sum = explore(asked.chosen->run, asked.seeds, asked.jobs);
        print(asked, sum, std::chrono::steady_clock::now() - start);
        return 0;
    } catch (const std::exception& failure) {
        std::printf("%s FAILED: %s\n", asked.chosen->name.c_str(), failure.what());
        return 1;
    }
}

}  // namespace

int command_line(int argc, char** argv, std::span<const named_scenario> scenarios) {
    try {
        const arguments asked = read(std::span(argv, static_cast<std::size_t>(argc)).subspan(1), scenarios);
        if (asked.chosen != nullptr) return run(asked);
        for (const named_scenario& each : scenarios) std::printf("%-12s %s\n", each.name.c_str(), each.about.c_str());
        return 0;
    } catch (const bad_argument& error) {
        std::fprintf(stderr, "%s\n", error.text.c_str());
        return 2;
    }
}

}  // namespace cove::sim
