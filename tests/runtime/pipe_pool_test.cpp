// The pipes that a loop keeps: few, empty, and closed with it.

#include <cove/runtime/pipe_pool.hpp>

#include <cove/runtime/loop.hpp>

#include <doctest/doctest.h>
#include <support/test_kernel.hpp>

#include <cerrno>
#include <optional>
#include <vector>

TEST_CASE("a pipe that was given back is taken again") {
    test::test_kernel os;
    cove::loop here(os);
    cove::pipe_ends pipe;
    CHECK(!pipe.is_open());
    CHECK(here.pipes().take(pipe) == 0);
    CHECK(pipe.is_open());
    const int first = pipe.read_end();
    here.pipes().give_back(pipe);
    CHECK(!pipe.is_open());
    CHECK(here.pipes().size() == 1);
    CHECK(here.pipes().take(pipe) == 0);
    CHECK(pipe.read_end() == first);
    CHECK(here.pipes().size() == 0);
    CHECK(os.calls["create_pipe"] == 1);
    CHECK(os.calls["close"] == 0);
}

TEST_CASE("of many pipes that are given back only some stay open, and those until the loop ends") {
    test::test_kernel os;
    {
        cove::loop here(os);
        std::vector<cove::pipe_ends> many(20);
        for (cove::pipe_ends& each : many) CHECK(here.pipes().take(each) == 0);
        for (cove::pipe_ends& each : many) here.pipes().give_back(each);
        CHECK(here.pipes().size() == 4);
        CHECK(os.calls["close"] == 2 * (20 - 4));
    }  // the runner finds a descriptor that is left
}

TEST_CASE("a pipe that is not given back is closed where it is destroyed") {
    test::test_kernel os;
    cove::loop here(os);
    {
        cove::pipe_ends pipe;
        CHECK(here.pipes().take(pipe) == 0);
    }
    CHECK(os.calls["close"] == 2);
    CHECK(here.pipes().size() == 0);
}

TEST_CASE("without descriptors there is no pipe") {
    test::test_kernel os;
    cove::loop here(os);
    os.fault = [](std::string_view call, int) -> std::optional<long> {
        if (call == "create_pipe") return -EMFILE;
        return std::nullopt;
    };
    cove::pipe_ends pipe;
    CHECK(here.pipes().take(pipe) == -EMFILE);
    CHECK(!pipe.is_open());
    os.fault = nullptr;
    CHECK(here.pipes().take(pipe) == 0);
}
