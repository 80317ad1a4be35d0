/* Stands before main (ld's --wrap=main): says at its end that the tests have got there. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int __real_main(int argc, char **argv, char **variables);

int __wrap_main(int argc, char **argv, char **variables) {
    char word[64] = "", path[512] = "";
    const char *ending = getenv("HPC_RUNNER_ENDING");
    if (ending != NULL && sscanf(ending, "%63s %511s", word, path) == 2)
        unsetenv("HPC_RUNNER_ENDING");
    int status = __real_main(argc, argv, variables);
    if (status == 0) {
        FILE *file = fopen(path, "w");
        if (file == NULL || fputs(word, file) < 0 || fclose(file) != 0)
            return 125;
    }
    return status;
}
