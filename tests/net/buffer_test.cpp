#include <cove/net/buffer.hpp>

#include <support/allocations.hpp>
#include <support/child.hpp>

#include <doctest/doctest.h>

#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <set>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

using cove::buffer;

static_assert(!std::is_copy_constructible_v<buffer> && std::is_nothrow_move_constructible_v<buffer>);

TEST_CASE("a buffer that was never filled is empty and holds nothing") {
    buffer none;
    CHECK(!none);
    CHECK(none.size() == 0);
    CHECK(none.data() == nullptr);
    CHECK(none.view().empty());
}

TEST_CASE("a buffer holds as many bytes as it was told, of its capacity") {
    buffer some = buffer::take();
    CHECK(!some);
    std::memset(some.data(), 'x', buffer::capacity);
    some.set_size(3);
    CHECK(static_cast<bool>(some));
    CHECK(some.view() == "xxx");
    some.set_size(buffer::capacity);
    CHECK(some.view() == std::string(buffer::capacity, 'x'));
    some.set_size(0);
    CHECK(!some);
}

TEST_CASE("a size that a buffer cannot have ends the program, saying why") {
    const auto sets_size_of = [](bool taken, std::size_t size_bytes) {
        return test::in_child([=] {
            buffer some = taken ? buffer::take() : buffer();
            some.set_size(size_bytes);
            return 7;
        });
    };
    CHECK(sets_size_of(true, buffer::capacity).status == 7);
    CHECK(sets_size_of(false, 0).status == 7);
    for (const bool taken : {true, false}) {
        const test::child_end ended = sets_size_of(taken, taken ? buffer::capacity + 1 : 1);
        CHECK(ended.status == -SIGABRT);
        CHECK(ended.said.find("a buffer holds buffer::capacity bytes at most") != std::string::npos);
    }
}

TEST_CASE("moving a buffer hands its bytes over, and the memory goes back once") {
    buffer one = buffer::take();
    std::strcpy(one.data(), "one");
    one.set_size(3);
    char* const memory = one.data();
    buffer two = std::move(one);
    CHECK(!one);
    CHECK(one.data() == nullptr);
    CHECK(two.view() == "one");
    buffer three = buffer::take();
    CHECK(three.data() != memory);
    three = std::move(two);
    CHECK(three.view() == "one");
    buffer& self = three;
    three = std::move(self);
    CHECK(three.view() == "one");
}

TEST_CASE("memory that was given back is used again, the last first") {
    char* memory = nullptr;
    {
        buffer some = buffer::take();
        memory = some.data();
    }
    buffer again = buffer::take();
    CHECK(again.data() == memory);
}

TEST_CASE("what the pool keeps can be given back to the heap") {
    if (!test::counts_allocations) return;
    { buffer some = buffer::take(); }
    buffer::free_cached();
    const long before = test::allocations();
    buffer again = buffer::take();
    test::escape(again.data());
    CHECK(test::allocations() == before + 1);
}

TEST_CASE("more buffers than the pool keeps are all different and all usable") {
    for (int round = 0; round < 2; ++round) {
        std::vector<buffer> many;
        std::set<char*> blocks;
        for (int i = 0; i < 200; ++i) {
            many.push_back(buffer::take());
            std::memset(many.back().data(), i, buffer::capacity);
            blocks.insert(many.back().data());
        }
        CHECK(blocks.size() == 200);
        int wrong = 0;
        for (int i = 0; i < 200; ++i)
            if (many[static_cast<std::size_t>(i)].data()[buffer::capacity - 1] != static_cast<char>(i)) ++wrong;
        CHECK(wrong == 0);
    }
}

namespace {

// How many of a buffer's pages the system holds in memory.
long resident_pages(buffer& held) {
    constexpr std::size_t page = 4096;
    auto* const first = reinterpret_cast<char*>(reinterpret_cast<std::uintptr_t>(held.data()) / page * page);
    std::vector<unsigned char> pages((buffer::capacity + page - 1) / page);
    REQUIRE(::mincore(first, buffer::capacity, pages.data()) == 0);
    return std::count_if(pages.begin(), pages.end(), [](unsigned char flags) { return (flags & 1) != 0; });
}

buffer filled_to(std::size_t size_bytes, char with) {
    buffer filled = buffer::take();
    std::memset(filled.data(), 'x', buffer::capacity);
    std::memset(filled.data(), with, size_bytes);
    filled.set_size(size_bytes);
    return filled;
}

}  // namespace

TEST_CASE("many buffers that are held cost what their bytes cost, to the page, and keep their bytes") {
    std::vector<buffer> held;
    for (std::size_t i = 0; i < 100; ++i) held.push_back(filled_to(1 + 100 * i, static_cast<char>('a' + i % 26)));
    const long generous = static_cast<long>(std::count_if(held.begin(), held.end(), [](buffer& each) {
        return resident_pages(each) > static_cast<long>((each.size() + 64 + 4095) / 4096);
    }));
    CHECK(generous <= 9);
    for (std::size_t i = 0; i < held.size(); ++i)
        CHECK(held[i].view() == std::string(1 + 100 * i, static_cast<char>('a' + i % 26)));
}

TEST_CASE("what the pool keeps of a burst costs a page a buffer") {
    {
        std::vector<buffer> burst;
        for (int i = 0; i < 40; ++i) burst.push_back(filled_to(buffer::capacity, 'b'));
    }
    std::vector<buffer> again;
    for (int i = 0; i < 40; ++i) again.push_back(buffer::take());
    const auto large = std::count_if(again.begin(), again.end(), [](buffer& each) { return resident_pages(each) > 1; });
    CHECK(large <= 8);
}

TEST_CASE("a buffer that grows and shrinks again keeps what is in use") {
    buffer changing = filled_to(buffer::capacity, 'c');
    std::vector<buffer> others;
    for (int i = 0; i < 20; ++i) others.push_back(filled_to(1, 'o'));
    CHECK(changing.view() == std::string(buffer::capacity, 'c'));
    changing.set_size(2);
    for (int i = 0; i < 20; ++i) others.push_back(filled_to(1, 'o'));
    CHECK(changing.view() == "cc");
    std::memset(changing.data(), 'd', buffer::capacity);
    changing.set_size(buffer::capacity);
    for (int i = 0; i < 20; ++i) others.push_back(filled_to(1, 'o'));
    CHECK(changing.view() == std::string(buffer::capacity, 'd'));
}
