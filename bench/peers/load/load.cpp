// load MODE PORT [--pid N] [--connections N] [--idle N] [--size BYTES] [--seconds S] [--count N] [--senders N] [--window N]
//      [--busy-poll MICROSECONDS]

#include "load.hpp"

#include <cove/runtime/run.hpp>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <filesystem>
#include <fstream>

double cpu_seconds(int pid) {
    if (pid == 0) return 0;
    double sum_ns = 0;
    for (const auto& thread : std::filesystem::directory_iterator("/proc/" + std::to_string(pid) + "/task")) {
        double on_cpu_ns = 0;
        std::ifstream(thread.path() / "schedstat") >> on_cpu_ns;
        sum_ns += on_cpu_ns;
    }
    return sum_ns / 1e9;
}

measured_span::measured_span(const load_options& options)
    : pid_(options.server_pid),
      count_(options.count),
      cpu_at_start_(cpu_seconds(pid_)),
      start_(cove::now()),
      deadline_(start_ + cove::duration(static_cast<std::int64_t>(options.seconds * 1e9))) {}

void measured_span::end(report& into, const char* per_second, const char* cpu_us_each) {
    const double seconds = std::chrono::duration<double>(cove::now() - start_).count();
    const double used = cpu_seconds(pid_) - cpu_at_start_;
    into.add(per_second, static_cast<double>(units_) / seconds);
    if (pid_ != 0) into.add(cpu_us_each, used * 1e6 / static_cast<double>(units_));
    into.add("units", static_cast<double>(units_));
}

std::string_view pattern(std::uint64_t place, std::size_t size_bytes) {
    constexpr std::size_t period = 65'537, size_max = 1 << 20;
    static const std::string bytes = [] {
        std::string made(period + size_max, '\0');
        std::uint64_t state = 88172645463325252;
        for (std::size_t i = 0; i < period; ++i) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            made[i] = static_cast<char>(state);
        }
        for (std::size_t i = period; i < made.size(); ++i) made[i] = made[i - period];
        return made;
    }();
    return std::string_view(bytes).substr(place % period, size_bytes);
}

void server_failed(const char* what) {
    std::fprintf(stderr, "load: %s\n", what);
    std::exit(1);
}

cove::task<std::vector<cove::tcp_stream>> connect_all(const load_options& options, std::size_t count) {
    std::vector<cove::tcp_stream> opened;
    opened.reserve(count);
    while (opened.size() < count) opened.push_back(co_await cove::tcp_stream::connect(options.server));
    co_return opened;
}

namespace {

[[noreturn]] void usage() {
    std::fprintf(stderr,
                 "usage: load ping-pong|churn|streaming|idle|fan-out PORT [--pid N] [--connections N] [--idle N]\n"
                 "            [--size BYTES] [--seconds S] [--count N] [--senders N] [--window N]\n"
                 "            [--busy-poll MICROSECONDS]\n");
    std::exit(2);
}

load_options parse(int argc, char** argv) {
    if (argc < 3 || argc % 2 == 0) usage();
    load_options options;
    options.server = cove::address::parse(std::string("127.0.0.1:") + argv[2]);
    for (int i = 3; i < argc; i += 2) {
        const std::string_view name = argv[i];
        char* end = nullptr;
        const double value = std::strtod(argv[i + 1], &end);
        const auto whole = static_cast<std::size_t>(value);
        if (*end != '\0' || value < 0) usage();
        if (name == "--pid")
            options.server_pid = static_cast<int>(value);
        else if (name == "--connections")
            options.connections = whole;
        else if (name == "--idle")
            options.idle = whole;
        else if (name == "--size")
            options.size_bytes = whole;
        else if (name == "--seconds")
            options.seconds = value;
        else if (name == "--count")
            options.count = whole;
        else if (name == "--senders")
            options.senders = whole;
        else if (name == "--window")
            options.window = whole;
        else if (name == "--busy-poll")
            options.busy_poll_us = value;
        else
            usage();
    }
    return options;
}

cove::task<> run_mode(std::string_view mode, const load_options& options, report& into) {
    if (mode == "ping-pong") return ping_pong(options, into);
    if (mode == "churn") return churn(options, into);
    if (mode == "streaming") return streaming(options, into);
    if (mode == "idle") return idle(options, into);
    if (mode == "fan-out") return fan_out(options, into);
    usage();
}

}  // namespace

int main(int argc, char** argv) try {
    const load_options options = parse(argc, argv);
    report found;
    cove::run_options how;
    how.busy_poll = cove::duration(static_cast<std::int64_t>(options.busy_poll_us * 1000));
    const int status = cove::run(run_mode(argv[1], options, found), how);
    found.print();
    return status;
} catch (const std::exception& error) {
    std::fprintf(stderr, "load: %s\n", error.what());
    return 1;
}
