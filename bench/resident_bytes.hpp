// What of a process's memory is its own and resident.

#pragma once

#include <fstream>
#include <string>

// Returns its anonymous pages, in bytes; process: a number, or "self".
inline double resident_bytes(const std::string& process) {
    std::ifstream rollup("/proc/" + process + "/smaps_rollup");
    std::string name;
    while (rollup >> name) {
        double kib = 0;
        if (name == "Anonymous:" && rollup >> kib) return kib * 1024;
    }
    return 0;
}
