#include <cove/net/sim/trace.hpp>

#include <support/sim.hpp>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>

using cove::time_point;
using cove::sim::trace;
using namespace std::chrono_literals;

namespace {

trace::event event_at(cove::duration when, const char* what = "turn", std::int64_t value = 0) {
    return {time_point(when), "host", what, {}, {}, value, ""};
}

// What is printed to a file while it is used.
class printed {
public:
    std::FILE* file() const noexcept { return file_.get(); }
    std::string text() const {
        std::fflush(file_.get());
        return std::string(memory_, size_);
    }
    ~printed() {
        file_.reset();
        std::free(memory_);
    }

private:
    struct closed {
        void operator()(std::FILE* file) const noexcept { std::fclose(file); }
    };
    char* memory_ = nullptr;
    std::size_t size_ = 0;
    std::unique_ptr<std::FILE, closed> file_{::open_memstream(&memory_, &size_)};
};

// One run of a world in which something is going on.
std::pair<std::uint64_t, std::string> run_of(std::uint64_t seed, std::FILE* into = nullptr) {
    cove::sim::plan which(seed);
    which.trace = into;
    cove::sim::world_options options;
    options.faults.set_harmless(0.01);
    cove::sim::world world(which, options);
    auto& server = world.host("server", []() -> cove::task<> {
        auto listener = cove::tcp_listener::bind(":80");
        auto echoed = test::echo(co_await listener.accept());
        co_await echoed;
    });
    world.client("client", [&server]() -> cove::task<> {
        auto stream = co_await cove::tcp_stream::connect(server.address(80));
        const std::string text = test::some_text(20000);
        co_await stream.write(text);
        stream.shutdown_write();
        auto reading = test::read_to_end(stream);
        const std::string back = co_await reading;
        CHECK(back == text);
    });
    world.run();
    return {world.trace().fingerprint(), world.trace().last()};
}

}  // namespace

TEST_CASE("the same events give the same fingerprint; another order, time, value or text gives another") {
    const auto of = [](std::initializer_list<trace::event> events) {
        trace made;
        for (const trace::event& each : events) made.add(each);
        return made.fingerprint();
    };
    const std::uint64_t one = of({event_at(1ns), event_at(2ns)});
    CHECK(one == of({event_at(1ns), event_at(2ns)}));
    CHECK(one != of({event_at(2ns), event_at(1ns)}));
    CHECK(one != of({event_at(1ns)}));
    CHECK(one != of({event_at(1ns), event_at(3ns)}));
    CHECK(one != of({event_at(1ns), event_at(2ns, "end")}));
    CHECK(one != of({event_at(1ns), event_at(2ns, "turn", 1)}));
    trace::event addressed = event_at(2ns);
    addressed.from = {0, 0xffff'0a00'0001, 80};
    const std::uint64_t from = of({event_at(1ns), addressed});
    std::swap(addressed.from, addressed.to);
    CHECK(from != one);
    CHECK(from != of({event_at(1ns), addressed}));
}

TEST_CASE("texts that are the same when joined, and addresses that are the same when mixed, are not the same event") {
    const auto of = [](const trace::event& only) {
        trace made;
        made.add(only);
        return made.fingerprint();
    };
    CHECK(of({{}, "ab", "c", {}, {}, 0, ""}) != of({{}, "a", "bc", {}, {}, 0, ""}));
    CHECK(of({{}, "h", "send", {}, {}, 0, "x"}) != of({{}, "h", "sendx", {}, {}, 0, ""}));
    CHECK(of({{}, "h", "w", {1, 2, 0}, {}, 0, ""}) != of({{}, "h", "w", {2, 1, 0}, {}, 0, ""}));
    CHECK(of({{}, "h", "w", {0, 80, 0}, {}, 0, ""}) != of({{}, "h", "w", {0, 0, 80}, {}, 0, ""}));
}

TEST_CASE("the last 64 events are kept, in their order") {
    trace kept;
    CHECK(kept.last().empty());
    for (int i = 1; i <= 3; ++i) kept.add(event_at(1ns * i, "turn", i));
    const std::string three = kept.last();
    CHECK(std::count(three.begin(), three.end(), '\n') == 3);
    for (int i = 4; i <= 200; ++i) kept.add(event_at(1ns * i, "turn", i));
    CHECK(kept.events() == 200);
    const std::string last = kept.last();
    CHECK(std::count(last.begin(), last.end(), '\n') == 64);
    CHECK(last.find(" : 137\n") < last.find(" : 138\n"));
    CHECK(last.find(" : 138\n") < last.find(" : 200\n"));
    CHECK(!test::contains(last, " : 136\n"));
}

TEST_CASE("a line tells when, who, what, and between whom") {
    trace kept;
    kept.add({time_point(12s + 345ns), "server", "send", {0, 0xffff'0a00'0001, 80}, {0, 1, 9}, 5, "data"});
    CHECK(kept.last() == "    12.000000345  server     send data 10.0.0.1:80 -> [::1]:9 : 5\n");
}

TEST_CASE("all events are printed where somebody wants to read them, as last() has them") {
    printed into;
    trace kept;
    kept.add(event_at(1ns));
    kept.print_to(into.file());
    kept.add(event_at(2ns, "end"));
    kept.print_to(nullptr);
    kept.add(event_at(3ns));
    CHECK(into.text() == "     0.000000002  host       end\n");
}

TEST_CASE("a seed repeats its run event by event, printed or not; another seed makes another run") {
    printed first, second;
    const auto one = run_of(1, first.file());
    CHECK(one == run_of(1, second.file()));
    CHECK(one == run_of(1));
    CHECK(first.text() == second.text());
    CHECK(test::contains(first.text(), one.second));
    CHECK(one.first != run_of(2).first);
}
