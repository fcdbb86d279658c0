// The load generator: one process, one cove loop, one mode a run. It checks every byte that comes back.

#pragma once

#include "histogram.hpp"

#include <cove/net/tcp.hpp>
#include <cove/runtime/clock.hpp>
#include <cove/runtime/task.hpp>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

struct load_options {
    cove::address server;
    int server_pid = 0;
    std::size_t connections = 64;
    std::size_t idle = 0;  // further connections, that only stand
    std::size_t size_bytes = 64;
    double seconds = 2;
    std::uint64_t count = ~std::uint64_t{0};  // ends earlier after so many
    std::size_t senders = 4;
    std::size_t window = 4;
    double busy_poll_us = 0;  // how long it looks for answers before it sleeps: see cove::run_options
};

// What a run has found out, printed as a JSON object.
class report {
public:
    void add(const char* name, double value) { values_.emplace_back(name, value); }
    void add(const histogram& latencies) {
        add("p50_us", latencies.percentile_us(0.5));
        add("p99_us", latencies.percentile_us(0.99));
        add("p999_us", latencies.percentile_us(0.999));
    }
    void print() const {
        for (std::size_t i = 0; i < values_.size(); ++i)
            std::printf("%s\"%s\": %.10g", i == 0 ? "{" : ", ", values_[i].first, values_[i].second);
        std::printf("}\n");
    }

private:
    std::vector<std::pair<const char*, double>> values_;
};

// CPU time that a process has used, of all its threads; 0 for pid 0.
double cpu_seconds(int pid);

// The part of a run that counts: time, and what the server used meanwhile.
class measured_span {
public:
    explicit measured_span(const load_options& options);
    // False once the time is up, or so many units have been counted.
    bool goes_on() const { return units_ < count_ && cove::now() < deadline_; }
    void count(std::uint64_t units = 1) { units_ += units; }
    std::uint64_t units() const { return units_; }
    // Ends it: adds units per second and the server's CPU time per unit.
    void end(report& into, const char* per_second, const char* cpu_us_each);

private:
    int pid_;
    std::uint64_t count_;
    std::uint64_t units_ = 0;
    double cpu_at_start_;
    cove::time_point start_;
    cove::time_point deadline_;
};

// Bytes that differ from place to place, so that any shift, loss or repetition shows. size_bytes up to 1 MiB.
std::string_view pattern(std::uint64_t place, std::size_t size_bytes);

// Ends the program: the server has not kept its promise.
[[noreturn]] void server_failed(const char* what);

// Opens connections, and holds them until it is destroyed.
cove::task<std::vector<cove::tcp_stream>> connect_all(const load_options& options, std::size_t count);

cove::task<> ping_pong(const load_options& options, report& into);
cove::task<> churn(const load_options& options, report& into);
cove::task<> streaming(const load_options& options, report& into);
cove::task<> idle(const load_options& options, report& into);
cove::task<> fan_out(const load_options& options, report& into);
