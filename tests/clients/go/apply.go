package main

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	core "k8s.io/client-go/applyconfigurations/core/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/retry"
)

// apply has three managers apply one ConfigMap, and a controller's extract, change and apply of its own part, then a
// pod and its status: apply NAMESPACE.
func apply(ctx context.Context, config *rest.Config, words []string) error {
	namespace := words[0]
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	maps := client.CoreV1().ConfigMaps(namespace)
	by := func(manager string) metav1.ApplyOptions { return metav1.ApplyOptions{FieldManager: manager} }

	_, err = maps.Apply(ctx, core.ConfigMap("shared", namespace).WithData(map[string]string{"a": "1", "b": "1"}), by("first"))
	if err != nil {
		return err
	}
	second := core.ConfigMap("shared", namespace).WithData(map[string]string{"b": "2", "c": "2"})
	_, err = maps.Apply(ctx, second, by("second"))
	if !apierrors.IsConflict(err) {
		return fmt.Errorf("no conflict: %w", err)
	}
	causes := []string{}
	for _, cause := range err.(apierrors.APIStatus).Status().Details.Causes {
		causes = append(causes, fmt.Sprintf("%s %s: %s", cause.Type, cause.Field, cause.Message))
	}
	say(line{"conflict": causes})
	if _, err = maps.Apply(ctx, second, metav1.ApplyOptions{FieldManager: "second", Force: true}); err != nil {
		return err
	}

	untyped, err := dynamic.NewForConfig(config)
	if err != nil {
		return err
	}
	third := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "shared"}, "data": map[string]any{"d": "3"},
	}}
	if _, err = untyped.Resource(configMaps).Namespace(namespace).Apply(ctx, "shared", third, by("third")); err != nil {
		return err
	}

	current, err := maps.Get(ctx, "shared", metav1.GetOptions{})
	if err != nil {
		return err
	}
	mine, err := core.ExtractConfigMap(current, "first")
	if err != nil {
		return err
	}
	say(line{"extracted": mine.Data})
	mine.Data = map[string]string{"e": "4"} // "a" is applied no more
	if current, err = maps.Apply(ctx, mine, by("first")); err != nil {
		return err
	}
	owners := map[string]string{}
	for _, entry := range current.ManagedFields {
		owners[entry.Manager] = fmt.Sprintf("%s %s", entry.Operation, entry.FieldsV1.GetRawString())
	}
	say(line{"data": current.Data, "owners": owners})
	return applyPod(ctx, client, namespace)
}

// applyPod applies a pod of defaults, its status as another manager, and updates it as a third that must try again.
func applyPod(ctx context.Context, client kubernetes.Interface, namespace string) error {
	pods := client.CoreV1().Pods(namespace)
	force := metav1.ApplyOptions{FieldManager: "first", Force: true}
	container := core.Container().WithName("main").WithImage("busybox:1.36").WithCommand("sleep", "3600")
	spec := core.PodSpec().WithContainers(container).WithTerminationGracePeriodSeconds(0)
	pod, err := pods.Apply(ctx, core.Pod("applied", namespace).WithSpec(spec), force)
	if err != nil {
		return err
	}
	stale := pod.DeepCopy()
	gate := core.PodCondition().WithType("example.test/Gate").WithStatus(corev1.ConditionTrue)
	status := core.Pod("applied", namespace).WithStatus(core.PodStatus().WithConditions(gate))
	if _, err = pods.ApplyStatus(ctx, status, metav1.ApplyOptions{FieldManager: "gate"}); err != nil {
		return err
	}
	tries := 0
	err = retry.RetryOnConflict(retry.DefaultRetry, func() error {
		tries++
		metav1.SetMetaDataAnnotation(&stale.ObjectMeta, "tried", fmt.Sprint(tries))
		if _, err := pods.Update(ctx, stale, metav1.UpdateOptions{}); err != nil {
			stale, _ = pods.Get(ctx, "applied", metav1.GetOptions{})
			return err
		}
		return nil
	})
	if err != nil {
		return err
	}
	if pod, err = pods.Get(ctx, "applied", metav1.GetOptions{}); err != nil {
		return err
	}
	gates := []string{}
	for _, condition := range pod.Status.Conditions {
		if condition.Type == "example.test/Gate" {
			gates = append(gates, string(condition.Status))
		}
	}
	say(line{"pod": pod.Name, "gate": gates, "tries": tries})
	return nil
}
