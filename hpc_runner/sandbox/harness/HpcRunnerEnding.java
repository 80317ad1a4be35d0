import java.lang.reflect.InvocationTargetException;
import java.nio.file.Files;
import java.nio.file.Path;

/** Calls the main method of the class that is named, and says when it has returned. */
final class HpcRunnerEnding {
    public static void main(String[] arguments) throws Throwable {
        String[] ending = System.getenv("HPC_RUNNER_ENDING").split(" ", 2);
        var main = Class.forName(arguments[0]).getDeclaredMethod("main", String[].class);
        main.setAccessible(true);
        try {
            main.invoke(null, (Object) new String[0]);
        } catch (InvocationTargetException error) {
            throw error.getCause();
        }
        Files.writeString(Path.of(ending[1]), ending[0]);
    }
}
