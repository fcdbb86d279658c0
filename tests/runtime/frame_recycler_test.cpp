// Frames come back from where they went, and no thread keeps what it does not use.

#include <cove/runtime/detail/frame_recycler.hpp>

#include <doctest/doctest.h>
#include <support/allocations.hpp>

#include <malloc.h>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <thread>
#include <utility>
#include <vector>

using cove::detail::frames;

namespace {

#ifdef COVE_ADDRESS_SANITIZER
constexpr bool recycles = false;
#else
constexpr bool recycles = true;
#endif

// What the heap has given out; under sanitizers, which bring a heap of their own, always the same.
std::size_t heap_bytes() {
    const struct mallinfo2 info = ::mallinfo2();
    return info.uordblks + info.hblkhd;
}

}  // namespace

TEST_CASE("storage of every size is aligned, separate and writable to its end") {
    std::vector<std::pair<void*, std::size_t>> held;
    for (std::size_t size = 1; size < 10'000; size += 7) {
        void* frame = frames.allocate(size);
        REQUIRE(reinterpret_cast<std::uintptr_t>(frame) % alignof(std::max_align_t) == 0);
        std::memset(frame, static_cast<int>(size % 251), size);
        held.emplace_back(frame, size);
    }
    for (const auto& [frame, size] : held) {
        const auto* bytes = static_cast<const unsigned char*>(frame);
        REQUIRE(bytes[0] == size % 251);
        REQUIRE(bytes[size - 1] == size % 251);
        frames.free(frame, size);
    }
}

TEST_CASE("a frame that was freed is the next one of its size class") {
    if (!recycles) return;
    void* first = frames.allocate(90);
    frames.free(first, 90);
    void* second = frames.allocate(104);  // the same class: 16 n + 8 bytes
    CHECK(second == first);
    void* third = frames.allocate(88);
    CHECK(third != first);
    frames.free(second, 104);
    frames.free(third, 88);
}

TEST_CASE("live frames are those allocated less those freed, on each thread") {
    const long before = frames.live();
    void* small = frames.allocate(10);
    void* large = frames.allocate(100'000);
    CHECK(frames.live() == before + 2);
    std::thread([] { CHECK(frames.live() == 0); }).join();
    frames.free(small, 10);
    frames.free(large, 100'000);
    CHECK(frames.live() == before);
}

TEST_CASE("a burst does not stay in the cache for ever") {
    std::thread([] {
        const std::size_t before = heap_bytes();
        std::vector<void*> burst;
        for (int i = 0; i < 30'000; ++i) burst.push_back(frames.allocate(4096));
        for (void* frame : burst) frames.free(frame, 4096);
        CHECK(frames.live() == 0);
        CHECK(heap_bytes() < before + 40 * 1024 * 1024);
    }).join();
}

TEST_CASE("after a burst of one size, frames of another are recycled all the same" *
          doctest::skip(!test::counts_allocations)) {
    if (!recycles) return;
    std::thread([] {
        std::vector<void*> burst;
        for (int i = 0; i < 30'000; ++i) burst.push_back(frames.allocate(4000));
        for (void* frame : burst) frames.free(frame, 4000);
        const auto use = [] {
            void* held[10];
            for (void*& frame : held) frame = frames.allocate(200);
            for (void* frame : held) frames.free(frame, 200);
        };
        for (int i = 0; i < 100; ++i) use();
        const long before = test::allocations();
        for (int i = 0; i < 100; ++i) use();
        CHECK(test::allocations() == before);
        CHECK(frames.live() == 0);
    }).join();
}

TEST_CASE("a thread that ends gives back what it had cached") {
    const std::size_t before = heap_bytes();
    for (int i = 0; i < 20; ++i) {
        std::thread([] {
            std::vector<void*> held;
            for (int j = 0; j < 500; ++j) held.push_back(frames.allocate(4000));
            for (void* frame : held) frames.free(frame, 4000);
        }).join();
    }
    CHECK(heap_bytes() < before + 20 * 1024 * 1024);
}

TEST_CASE("a thread that only frees frames of others gives them back when it ends") {
    const std::size_t before = heap_bytes();
    const long live = frames.live();
    constexpr int count = 5000;
    std::vector<void*> handed_over;
    // Of a size class that no coroutine of the tests uses, so that nothing here comes from this thread's cache.
    for (int i = 0; i < count; ++i) handed_over.push_back(frames.allocate(3970));
    std::thread([&handed_over] {
        for (void* frame : handed_over) frames.free(frame, 3970);
        CHECK(frames.live() == -count);
    }).join();
    CHECK(heap_bytes() < before + 2 * 1024 * 1024);
    // The count of this thread is put right for the check of leaks: each was freed, though elsewhere.
    std::vector<void*> again;
    std::thread([&again] {
        for (int i = 0; i < count; ++i) again.push_back(frames.allocate(3970));
    }).join();
    for (void* frame : again) frames.free(frame, 3970);
    CHECK(frames.live() == live);
}
